import pytest
from made_release import packed
from range_server import serve


@pytest.fixture
def site(monkeypatch):
    """A server of the small release's archive."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serve(packed()) as site:
        yield site
