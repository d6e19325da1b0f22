"""The frameworks' own one-picture interfaces with a config and a checkpoint of ours."""

import numpy as np


def test_detector_on_one_picture(detector, tmp_path):
    from mmdet.apis import DetInferencer

    picture = next((detector.data / 'val').glob('*.png'))
    inferencer = DetInferencer(str(detector.config), str(detector.checkpoint), device='cpu')
    result = inferencer(str(picture), out_dir=str(tmp_path))
    found = result['predictions'][0]
    assert len(found['bboxes']) == len(found['masks']) == len(found['scores']) > 0
    assert (tmp_path / 'vis' / picture.name).is_file()


def test_segmentor_on_one_picture(segmentor, tmp_path):
    from mmseg.apis import MMSegInferencer

    picture = next((segmentor.data / 'images' / 'validation').glob('*.jpg'))
    inferencer = MMSegInferencer(str(segmentor.config), str(segmentor.checkpoint), device='cpu')
    result = inferencer(str(picture), out_dir=str(tmp_path))
    labels = np.asarray(result['predictions'])
    assert labels.ndim == 2
    assert (tmp_path / 'vis' / picture.name).is_file()
