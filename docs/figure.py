"""Draws figure.svg, what a table looks like in use: `python docs/figure.py > docs/figure.svg`."""

WIDTH, HEIGHT = 880, 384

STYLE = """
    text { font-family: system-ui, sans-serif; font-size: 13px; fill: #1f2328 }
    .name { font-weight: 600 }
    .code { font-family: ui-monospace, SFMono-Regular, Menlo, monospace; font-size: 12px }
    .small { font-size: 11.5px; fill: #59636e }
    .ground { fill: #ffffff; stroke: #d1d9e0 }
    .box { fill: #f6f8fa; stroke: #afb8c1 }
    .line { stroke: #afb8c1; fill: none }
    .arrow { stroke: #59636e; stroke-width: 1.5; fill: none; marker-end: url(#head) }
    .tip { fill: #59636e }
    .id { fill: #2da44e } .a { fill: #3b82d6 } .b { fill: #d9822b }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc }
      .small { fill: #9198a1 }
      .ground { fill: #0d1117; stroke: #3d444d }
      .box { fill: #151b23; stroke: #656c76 }
      .line { stroke: #656c76 }
      .arrow { stroke: #9198a1 }
      .tip { fill: #9198a1 }
    }"""

parts: list[str] = []


def put(element: str) -> None:
    parts.append(f"  {element}")


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> None:
    words = words.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    put(f'<text x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}">{words}</text>')


def box(x: float, y: float, width: float, height: float, kind: str = "box", round: int = 5) -> None:
    put(f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{round}" class="{kind}"/>')


def line(x: float, y: float, to_x: float, to_y: float, kind: str = "line") -> None:
    put(f'<path d="M{x:g} {y:g} L{to_x:g} {to_y:g}" class="{kind}"/>')


def cells(x: float, y: float, count: int, kind: str) -> None:
    """A row of a tensor column: as many numbers."""
    for number in range(count):
        box(x + 12 * number, y, 10, 12, kind, round=2)


def writer() -> None:
    box(20, 92, 150, 92)
    text(95, 116, "inference", "name", "middle")
    text(95, 136, "batches of ids", "small", "middle")
    text(95, 152, "and tensors, from", "small", "middle")
    text(95, 168, "C, C++, Python, Arrow", "small", "middle")
    line(170, 138, 206, 138, "arrow")


def table() -> None:
    left, top, right = 214, 50, 600
    text(left, top - 10, "the table results.lance", "name")
    box(left, top, right - left, 176)
    for x in (316, 472):
        line(x, top, x, top + 176)
    line(left, top + 44, right, top + 44)
    heads = (("object_id", "text"), ("embedding", "float32 [512]"), ("logits", "float32 [10]"))
    for x, (name, kind) in zip((226, 328, 484), heads):
        text(x, top + 19, name, "code")
        text(x, top + 36, kind, "small")
    for number, name in enumerate(("ngc-1", "ngc-2", "ngc-3", "⋮")):
        y = top + 68 + 32 * number
        text(226, y, name, "code")
        if name == "⋮":
            text(328, y, name, "code")
            text(484, y, name, "code")
        else:
            cells(328, y - 10, 9, "a")
            text(442, y, "…", "small")
            cells(484, y - 10, 6, "b")
            text(562, y, "…", "small")


def files() -> None:
    line(394, 230, 394, 276, "arrow")
    line(536, 230, 536, 276, "arrow")
    line(265, 230, 265, 250)
    line(265, 250, 440, 250)
    line(440, 250, 440, 276, "arrow")
    text(20, 262, "a file for each column,", "small")
    text(20, 278, "row after row without a gap,", "small")
    text(20, 294, "the ids behind the first", "small")
    box(214, 282, 250, 30)
    for start, count, kind in ((222, 4, "a"), (276, 4, "a"), (330, 4, "a"), (396, 5, "id")):
        cells(start, 291, count, kind)
    text(386, 302, "…", "small", "middle")
    text(214, 330, "data/….lance", "code")
    box(478, 282, 122, 30)
    for start in (486, 522, 558):
        cells(start, 291, 2, "b")
    text(590, 302, "…", "small", "middle")
    text(478, 330, "data/….lance", "code")
    text(214, 366, "An ordinary Lance dataset: pylance, lancedb and what is built on them open it as it is.", "small")


def readers() -> None:
    asked = (
        ("training loop", "dataset.take(rows, out=…)"),
        ("notebook", 'dataset["embedding"][i]'),
        ("C or C++", "rds_reader_gather(…)"),
        ("Arrow", "pyarrow.table(dataset)"),
    )
    for number, (name, call) in enumerate(asked):
        y = 50 + 64 * number
        box(660, y, 204, 52)
        text(672, y + 22, name, "name")
        text(672, y + 41, call, "code")
        line(630, y + 26, 652, y + 26, "arrow")
    line(630, 76, 630, 297)
    line(600, 297, 630, 297)
    text(640, 324, "many readers, in many processes,", "small")
    text(640, 340, "map the same files", "small")


def main() -> None:
    box(0.5, 0.5, WIDTH - 1, HEIGHT - 1, "ground", round=8)
    writer()
    table()
    files()
    readers()
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img">')
    print("  <title>A table of librds in use</title>")
    print(f"  <style>{STYLE}\n  </style>")
    print('  <marker id="head" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" markerHeight="7" orient="auto">')
    print('    <path d="M0 0 L8 4 L0 8 Z" class="tip"/>\n  </marker>')
    print("\n".join(parts))
    print("</svg>")


main()
