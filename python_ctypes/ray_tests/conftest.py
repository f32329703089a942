"""One small Ray for all tests of this directory, and the rule that nothing is skipped."""

import logging

import pytest
import ray
from ray.data import DataContext


@pytest.fixture(scope="session", autouse=True)
def cluster():
    """Two processors, whatever the machine has."""
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=200_000_000,
        logging_level="ERROR",
        log_to_driver=False,
    )
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


@pytest.fixture
def context():
    """What datasets are made with from then on."""
    return DataContext.get_current()


@pytest.fixture
def result_dir(tmp_path):
    """A result directory that does not exist yet."""
    return tmp_path / "results"


def pytest_sessionfinish(session):
    """A skipped test is a failed run: what is missing has to be installed."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
