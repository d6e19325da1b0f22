"""Generated demonstration data: a COCO instance set and an ADE20K-layout semantic set.

Everything is drawn from a seed with numpy and OpenCV; no torch, no download, no licence question.
``coco.write_coco`` and ``ade.write_ade`` write whole folders; ``scene`` draws single pictures.
"""
