"""What a disk has after operations of which some were not synced: files, names, and what is sure of them."""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path

PAGE = 4096


def read(log: Path):
    """The operations of a record, as recorder.c writes them."""
    with open(log, "rb") as file:
        while line := file.readline():
            kind, _, rest = line.decode().rstrip("\n").partition(" ")
            if kind == "W":
                inode, at, count = map(int, rest.split())
                data = file.read(count)
                file.read(1)
                yield "W", inode, at, data
            elif kind in "CDL":
                inode, path = rest.split(" ", 1)
                yield kind, int(inode), path
            elif kind == "M":
                yield kind, *rest.split("\t")
            elif kind == "T":
                yield kind, *map(int, rest.split())
            elif kind == "S":
                yield kind, int(rest)
            else:
                yield kind, rest


class Node:
    """A file or a directory: what is sure of it, and what was done since its last sync."""

    def __init__(self, directory: bool):
        self.directory = directory
        self.names: dict[str, Node] = {}
        self.bytes = bytearray()
        self.pending: list[tuple] = []

    def sync(self) -> None:
        for operation in self.pending:
            apply(self.names if self.directory else self.bytes, operation)
        self.pending.clear()


def apply(to, operation) -> None:
    match operation:
        case ("name", name, node):
            to[name] = node
        case ("unname", name):
            to.pop(name, None)
        case ("rename", name, node, other):
            # One entry becomes the other, whatever is known of how it came about.
            to.pop(other, None)
            to[name] = node
        case ("size", size):
            del to[size:]
            to.extend(bytes(size - len(to)))
        case ("write", at, data):
            to.extend(bytes(max(0, at + len(data) - len(to))))
            to[at : at + len(data)] = data


def pages(at: int, data: bytes):
    """A write as the pages of the file that it touches."""
    start = 0
    while start < len(data):
        end = min(len(data), start + PAGE - (at + start) % PAGE)
        yield "write", at + start, data[start:end]
        start = end


class Nothing:
    """Of what was not synced nothing is there."""

    def __str__(self):
        return "nothing that was not synced"

    def some(self, _operations, _directory):
        return []


class Chosen:
    """Any part of what was not synced; all of it for number 0."""

    def __init__(self, seed: str, number: int):
        self.chance = random.Random(seed)
        self.share = self.chance.choice([0.15, 0.5, 0.85]) if number else 1.0

    def __str__(self):
        return f"{self.share:.0%} of what was not synced"

    def some(self, operations, directory: bool):
        kept = []
        for operation in operations:
            parts = pages(*operation[1:]) if operation[0] == "write" else [operation]
            kept += [part for part in parts if self.chance.random() < self.share]
        if not directory and self.chance.random() < 0.3:
            # The file has grown, and what it grew by is not there: zeros.
            ends = [o[1] + len(o[2]) for o in operations if o[0] == "write"]
            kept.insert(0, ("write", max(ends), b"")) if ends else None
        return kept


class Disk:
    def __init__(self):
        self.root = Node(True)
        # As processes see it: which node has an inode, and which node a path leads to.
        self.inodes: dict[int, Node] = {}
        self.paths: dict[str, Node] = {"": self.root}

    def do(self, operation) -> None:
        match operation:
            case ("C" | "D", inode, path):
                node = self.inodes[inode] = Node(operation[0] == "D")
                self.name(path, node)
            case ("L", inode, path):
                self.name(path, self.inodes[inode])
            case ("U", path):
                directory, name = self.parent(path)
                self.paths.pop(path, None)
                directory.pending.append(("unname", name))
            case ("M", path, other):
                self.rename(path, other)
            case ("W", inode, at, data):
                self.inodes[inode].pending.append(("write", at, data))
            case ("T", inode, size):
                self.inodes[inode].pending.append(("size", size))
            case ("S", inode):
                # The directory that all of it is in was there before.
                self.inodes.get(inode, self.root).sync()

    def parent(self, path: str) -> tuple[Node, str]:
        directory, _, name = path.rpartition("/")
        return self.paths[directory], name

    def name(self, path: str, node: Node) -> None:
        directory, name = self.parent(path)
        self.paths[path] = node
        directory.pending.append(("name", name, node))

    def rename(self, path: str, other: str) -> None:
        (source, old), (target, new) = self.parent(path), self.parent(other)
        node = self.paths.pop(path)
        self.paths[other] = node
        if source is target:
            source.pending.append(("rename", new, node, old))
        else:
            target.pending.append(("name", new, node))
            source.pending.append(("unname", old))

    def build(self, root: Path, chance) -> str:
        """Makes what may be there, and gives its checksum. Without a chance it is all there is."""
        made: dict[int, Path] = {}
        known = hashlib.sha256()
        everything = chance is None
        stack = [(self.root, root)]
        while stack:
            node, path = stack.pop()
            names = dict(node.names)
            for operation in node.pending if everything else chance.some(node.pending, True):
                apply(names, operation)
            for name, child in sorted(names.items()):
                known.update(f"{path.relative_to(root)}/{name}\0{child.directory}".encode())
                place = path / name
                if child.directory:
                    place.mkdir()
                    stack.append((child, place))
                elif id(child) in made:
                    os.link(made[id(child)], place)
                else:
                    made[id(child)] = place
                    content = self.content(child, None if everything else chance)
                    known.update(content)
                    place.write_bytes(content)
        return known.hexdigest()

    def content(self, node: Node, chance) -> bytes:
        if not node.pending:
            return node.bytes
        content = bytearray(node.bytes)
        for operation in node.pending if chance is None else chance.some(node.pending, False):
            apply(content, operation)
        return content
