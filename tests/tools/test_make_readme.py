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


def test_sizes_stand_under_the_shape_they_are_of():
    model = make_readme.load_models()[0]
    sizes = {'Parameters (M)': 21.654, 'MACs (G)': 180.04}
    large, small = (
        dict(model, Metadata=dict(model['Metadata'], Shape=shape, **sizes))
        for shape in ([800, 1280], [320, 192])
    )
    lines = make_readme.table([large, small], make_readme.ROOT).splitlines()
    titles = [line for line in lines if line.startswith('**')]
    assert [title.rpartition('(')[2] for title in titles] == [
        'MACs at 800 x 1280)',
        'MACs at 320 x 192)',
    ]
    assert lines[-1].split(' | ')[1:3] == ['21.7', '180.0']
