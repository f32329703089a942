"""Fixtures of all tests, and the rule that nothing is skipped."""

import gc
import signal

import pytest

import rds


@pytest.fixture
def result_dir(tmp_path):
    """A result directory that does not exist yet."""
    return tmp_path / "results"


@pytest.fixture
def make_dataset(result_dir):
    """Writes ids and data as one committed table and opens it."""

    def make(ids, data, **options):
        with rds.ResultDatasetWriter(result_dir, **options) as writer:
            writer.write_batch(ids, data)
        return rds.ResultDataset({}, result_dir)

    return make


def pytest_configure():
    """A shell has what it starts in the background ignore Ctrl-C; tests send it to themselves."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish():
    """What was imported is no garbage: a test that collects looks only at what tests made, which takes no time."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish(session):
    """A skipped test is a failed run: what is missing has to be installed."""
    gc.unfreeze()
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
