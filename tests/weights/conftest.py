"""A server on this machine, and a cache folder of one's own."""

import huggingface_hub
import pytest

from tests.weights.server import FileServer


@pytest.fixture
def server(monkeypatch):
    """A FileServer, reached without the proxy of the environment."""
    for proxy in ('http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'all_proxy'):
        monkeypatch.delenv(proxy, raising=False)
    server = FileServer()
    yield server
    server.close()


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """Empty caches of torch.hub and the Hugging Face hub, and the network allowed."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch_home'))
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_CACHE', str(tmp_path / 'hf'))
    for name in ('HF_HUB_OFFLINE', 'MMPLUGIN_OFFLINE', 'HF_ENDPOINT'):
        monkeypatch.delenv(name, raising=False)
