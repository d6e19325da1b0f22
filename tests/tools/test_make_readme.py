"""The tables in the READMEs are those of the metafiles."""

import pytest

from tools import make_readme


def test_readmes_agree_with_the_metafiles(capsys):
    assert make_readme.main(['--check']) == 0, capsys.readouterr().out


def test_a_stale_table_is_seen(tmp_path):
    readme = tmp_path / 'README.md'
    readme.write_text(f'a\n{make_readme.START}\nold\n{make_readme.END}\nb\n')
    models = make_readme.load_models()
    text = make_readme.updated(readme, models)
    assert 'old' not in text and text.startswith('a\n') and text.endswith('\nb\n')
    for model in models:
        assert text.count(f'[{model["Name"]}]') == 1


def test_a_readme_without_markers_is_named(tmp_path):
    readme = tmp_path / 'README.md'
    readme.write_text('no table')
    with pytest.raises(ValueError, match=r'README\.md has no <!-- zoo:start -->'):
        make_readme.updated(readme, make_readme.load_models())


def test_results_of_our_own_have_their_column():
    model = make_readme.load_models()[0]
    ours = dict(model['Results'][0], Ours={'box AP': 12.3, 'box AP50': 45.6})
    text = make_readme.table([dict(model, Results=[ours])], make_readme.ROOT)
    assert text.splitlines()[-1].endswith('| box AP 12.3, box AP50 45.6 |')
