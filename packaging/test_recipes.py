#!/usr/bin/env python3
"""Renders the recipe for conda, and runs the port for vcpkg without vcpkg: their packages have what the others have."""

import ast
import json
import re
import sys
import tempfile
from pathlib import Path

import rattler_build

from checks import Failed, named, report, run
from install import VERSION

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PORT = HERE / "vcpkg" / "librds"
# Of vcpkg.json, those that a port may have.
FIELDS = {"name", "version", "port-version", "description", "homepage", "documentation", "license", "supports",
          "dependencies", "default-features", "features", "maintainers", "summary"}


def project(field: str):
    """Of pyproject.toml, for which Python 3.10 has no parser."""
    text = (ROOT / "python_ctypes" / "pyproject.toml").read_text()
    return ast.literal_eval(re.search(f"^{field} = (.+)$", text, re.MULTILINE)[1])


def rendered(platform: str) -> dict[str, dict]:
    """The packages that the recipe makes for a platform."""
    try:
        recipe = rattler_build.Stage0Recipe.from_file(HERE / "conda" / "recipe.yaml")
        config = rattler_build.RenderConfig(rattler_build.PlatformConfig(target_platform=platform))
        packages = [variant.recipe.to_dict() for variant in recipe.render(rattler_build.VariantConfig({}), config)]
    except rattler_build.RattlerBuildError as error:
        raise Failed(f"{platform}: {error}") from error
    return {package["package"]["name"]: package for package in packages}


def the_recipe_of_conda_is_for_linux() -> None:
    for platform in ("linux-64", "linux-aarch64", "osx-arm64", "win-64"):
        wanted = {"librds", "python-rds"} if platform.startswith("linux") else set()
        if rendered(platform).keys() != wanted:
            raise Failed(f"{platform}: {sorted(rendered(platform))}")


def packages_of_conda_say_what_others_say() -> None:
    packages = rendered("linux-64")
    for name, package in packages.items():
        if package["package"]["version"] != VERSION or package["about"]["license_file"] != project("license-files"):
            raise Failed(f"{name}: {package['package']} {package['about']}")
    # The library is pinned, by more than a text.
    run_time = [need for need in packages["python-rds"]["requirements"]["run"] if isinstance(need, str)]
    needs = {need.split()[0]: need for need in run_time}
    wanted = {"python": f"python {project('requires-python')}"}
    wanted |= {re.split("[<>=]", need)[0]: need.replace(">=", " >=") for need in project("dependencies")}
    if needs != wanted:
        raise Failed(f"python-rds needs {needs}, the wheel {wanted}")


def the_port_of_vcpkg_is_described() -> None:
    port = json.loads((PORT / "vcpkg.json").read_text())
    if port.keys() - FIELDS or port["version"] != VERSION or port["name"] != PORT.name or port["license"] != project("license"):
        raise Failed(str(port))


def the_port_of_vcpkg_installs_what_cmake_finds() -> None:
    with tempfile.TemporaryDirectory() as directory:
        packages, build = Path(directory, "packages"), Path(directory, "build")
        run("cmake", f"-DCURRENT_PACKAGES_DIR={packages}", f"-DPORT={PORT.name}", "-P", PORT.parent / "try.cmake")
        unwanted = [place for place in ("debug", "share/man", "share/doc", "lib/cmake") if (packages / place).exists()]
        licences = (packages / "share" / PORT.name / "copyright").read_text()
        if unwanted or any((ROOT / name).read_text() not in licences for name in project("license-files")):
            raise Failed(f"unwanted: {unwanted}; the licences are {len(licences)} characters")
        # As vcpkg moves it.
        installed = packages.rename(Path(directory, "installed"))
        run("cmake", "-S", HERE / "consumers", "-B", build, f"-DCMAKE_PREFIX_PATH={installed}")
        run("cmake", "--build", build, "--target", "c11_rds")
        run(build / "c11_rds", Path(directory, "results"))


def the_package_of_debian_has_the_version() -> None:
    changelog = (HERE / "debian" / "changelog").read_text()
    if not changelog.startswith(f"librds ({VERSION}) "):
        raise Failed(changelog.splitlines()[0])


if __name__ == "__main__":
    checks = named(
        the_recipe_of_conda_is_for_linux,
        packages_of_conda_say_what_others_say,
        the_port_of_vcpkg_is_described,
        the_port_of_vcpkg_installs_what_cmake_finds,
        the_package_of_debian_has_the_version,
    )
    sys.exit(report("recipes", checks))
