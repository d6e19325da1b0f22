"""What a word of the command line names, and the peers it has by default."""

from mmplugin.benchmark.official import build_official, build_official_compiled
from mmplugin.benchmark.peers import BackboneCase
from mmplugin.benchmark.rows import Case
from mmplugin.benchmark.token_half import SUFFIX, TokenHalfCase

PEERS = ['official', 'timm-cl', 'ours', 'deploy']
TOKEN_PEERS = ['plain', 'ours']
CONFIG_PEERS = ['timm-cl', 'timm', 'plain', 'ours']


def case_of(network: str) -> tuple[Case, list[str]]:
    """A backbone as FAMILY-ARCH, token halves as FAMILY-ARCH-tokens or a config as FILE.py, and
    its peers.

    Raises:
        UserError: for a config that cannot be read.
    """
    if network.endswith('.py'):
        from mmplugin.benchmark.whole import WholeCase  # for it, mmdet or mmseg are imported

        return WholeCase(network), CONFIG_PEERS
    if network.endswith(SUFFIX):
        return TokenHalfCase(network), TOKEN_PEERS
    others = {'official': build_official, 'official-compiled': build_official_compiled}
    return BackboneCase(network, others), PEERS
