"""Importing and opening: nothing heavy, nothing early, and errors that say what to do."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import rds
from rds import _library

PACKAGE = Path(rds.__file__).parent


def run(code, library=None, path=PACKAGE.parent, **environment):
    """Runs code in a fresh interpreter and gives what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(path), **environment}
    environment.pop("RDS_LIBRARY", None)
    if library is not None:
        environment["RDS_LIBRARY"] = os.path.abspath(library)
    # The working directory comes first in sys.path.
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_import_loads_nothing_heavy():
    heavy = ["pyarrow", "lance", "lancedb", "torch", "ray", "ml_dtypes", "hyrax", "pandas", "dask"]
    code = f"import sys, rds; print([name for name in {heavy} if name in sys.modules])"
    assert run(code) == "[]"


def test_import_and_loading_of_the_library_are_quick(tmp_path):
    """The least of several runs, after one that writes the byte code."""
    code = (
        "import time, numpy\n"
        "begin = time.perf_counter(); import rds; imported = time.perf_counter()\n"
        "rds.build_info(); print(imported - begin, time.perf_counter() - imported)"
    )
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}
    runs = [
        subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
        for _ in range(8)
    ]
    imported, loaded = (min(map(float, times)) for times in zip(*(run.stdout.split() for run in runs)))
    assert imported < 0.030
    assert loaded < 0.080


def test_import_does_not_open_the_library():
    code = "import rds; print(open('/proc/self/maps').read().count('librds.so'))"
    assert run(code, library=_library.library()._name) == "0"


def test_reading_and_writing_loads_nothing_heavy(tmp_path):
    code = (
        "import sys, numpy as np, rds\n"
        f"with rds.ResultDatasetWriter({str(tmp_path)!r}) as w: w.write_batch(['a'], np.ones((1, 2)))\n"
        f"ds = rds.ResultDataset({{}}, {str(tmp_path)!r}); ds[0], ds.ids(), ds.find(['a'])\n"
        "list(rds.Loader(ds, batch_size=1)), list(rds.BatchSampler(ds, 1))\n"
        "print([n for n in ('pyarrow', 'lance', 'lancedb', 'torch', 'ml_dtypes') if n in sys.modules])"
    )
    assert run(code, library=_library.library()._name) == "[]"


FIRST_USE = (
    "import rds\n"
    "try: rds.build_info()\n"
    "except OSError as error: print(type(error).__name__, error)"
)


def test_a_missing_library_is_an_error_that_says_what_to_do(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "rds", ignore=shutil.ignore_patterns("*.so.0", "__pycache__"))
    printed = run(FIRST_USE, path=tmp_path)
    assert printed.startswith("OSError")
    assert "RDS_LIBRARY" in printed and "librds.so" in printed


def test_a_wrong_path_in_the_environment_is_an_error_that_names_it():
    printed = run(FIRST_USE, library="/nowhere/librds.so")
    assert "/nowhere/librds.so" in printed and "RDS_LIBRARY" in printed


def test_another_library_in_the_environment_is_an_error_that_names_it():
    import _ctypes

    printed = run(FIRST_USE, library=_ctypes.__file__)
    assert "is not librds" in printed and _ctypes.__file__ in printed


def test_a_library_beside_the_module_is_found(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "rds", ignore=shutil.ignore_patterns("*.so.0", "__pycache__"))
    os.symlink(os.path.abspath(_library.library()._name), tmp_path / "rds" / "librds.so.0")
    code = "import rds; print(rds.build_info()['librds'])"
    assert run(code, path=tmp_path) == rds.build_info()["librds"]


def installed(prefix, libdir):
    """A library and its headers as they are installed, and a package without any."""
    shutil.copytree(PACKAGE, prefix / "python" / "rds", ignore=shutil.ignore_patterns("*.so.0", "__pycache__"))
    (prefix / libdir).mkdir(parents=True)
    shutil.copyfile(_library.library()._name, prefix / libdir / "librds.so.0")
    shutil.copytree(rds.get_include(), prefix / "include")


@pytest.mark.parametrize("libdir", ["lib", "lib/x86_64-linux-gnu"])
def test_an_installed_library_and_its_headers_are_found(tmp_path, libdir):
    installed(tmp_path, libdir)
    code = "import rds; print(rds.build_info()['librds'], rds.get_library(), rds.get_include(), sep='\\n')"
    printed = run(code, path=tmp_path / "python", LD_LIBRARY_PATH=str(tmp_path / libdir))
    assert printed.splitlines() == [
        rds.build_info()["librds"], str(tmp_path / libdir / "librds.so.0"), str(tmp_path / "include")
    ]


def test_programs_are_linked_with_what_the_package_uses(tmp_path):
    assert os.path.samefile(rds.get_library(), _library.library()._name)
    # As the wheel has it: by the name that loaders look for.
    shutil.copyfile(rds.get_library(), tmp_path / "librds.so.0")
    source = tmp_path / "version.c"
    source.write_text('#include <rds.h>\n#include <stdio.h>\nint main(void) { puts(rds_version()); }\n')
    library = tmp_path / "librds.so.0"
    command = ["cc", source, f"-I{rds.get_include()}", library, f"-Wl,-rpath,{tmp_path}", "-o", tmp_path / "version"]
    subprocess.run(command, check=True)
    printed = subprocess.run([tmp_path / "version"], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == rds.build_info()["librds"]


def test_a_library_without_headers_is_an_error_that_says_so(tmp_path):
    installed(tmp_path, "lib")
    shutil.rmtree(tmp_path / "include")
    code = "import rds\ntry: rds.get_include()\nexcept FileNotFoundError as error: print(error)"
    assert "rds.h" in run(code, path=tmp_path / "python", LD_LIBRARY_PATH=str(tmp_path / "lib"))


def test_a_library_of_another_interface_is_refused():
    with pytest.raises(rds.RdsError, match="rds_check_abi: .*1000000"):
        _library.library().rds_check_abi(1_000_000)


def test_build_info_names_what_the_library_is_built_from():
    info = rds.build_info()
    assert list(info) == ["librds", "lance", "arrow", "rustc"]
    assert info["lance"].startswith("14.")


def test_package_and_library_have_the_same_version():
    assert rds.__version__ == rds.build_info()["librds"] == _library.library().rds_version().decode()


def test_public_names_are_exactly_the_contract():
    assert sorted(rds.__all__) == [
        "BatchSampler",
        "Column",
        "InferenceDataset",
        "Loader",
        "RdsError",
        "ResultDataset",
        "ResultDatasetWriter",
        "__version__",
        "build_info",
        "commit_staged",
        "convert",
        "create_results_writer",
        "get_include",
        "get_library",
        "hyrax",
        "load_results_dataset",
        "recover",
        "vacuum",
    ]
    assert all(hasattr(rds, name) for name in rds.__all__)
    assert {*rds.__all__, "torch"} <= set(dir(rds))


@pytest.mark.parametrize(("name", "said"), [("torch", "install torch"), ("ray", "rds.ray needs Ray Data; install ray")])
def test_what_is_for_another_package_says_that_it_is_needed(name, said):
    code = (
        f"import sys; sys.modules['{name}'] = None\n"
        "import rds\n"
        f"try: rds.{name}\n"
        "except ImportError as error: print(error)"
    )
    assert said in run(code)


def test_the_package_is_typed():
    assert (PACKAGE / "py.typed").exists()
