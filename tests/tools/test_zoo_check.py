import pytest

from tools import zoo_check

from .conftest import error_line


def test_a_budget_of_nothing_is_refused(capsys, tmp_path):
    assert zoo_check.main(['--iterations', '0', '--out', str(tmp_path / 'zoo')]) == 1
    assert '--iterations: 1 or more, got 0' in error_line(capsys)
    assert not (tmp_path / 'zoo').exists()


@pytest.mark.slow
def test_the_tool_trains_and_tabulates(tmp_path, capsys):
    words = ['--heads', 'retinanet', 'detr', '--backbones', 'poolformer-s12', '--iterations', '1']
    words += ['--warm-up', '1', '--batch', '2', '--out', str(tmp_path / 'zoo')]
    assert zoo_check.main([*words, '--data', str(tmp_path / 'data')]) == 0
    table = (tmp_path / 'zoo/table.md').read_text()
    assert table in capsys.readouterr().out
    assert [line.split(' | ')[0] for line in table.splitlines()[2:]] == ['| retinanet', '| detr']
    assert (tmp_path / 'zoo/curves.png').is_file()
