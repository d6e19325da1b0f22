"""Pictures of a run: predictions beside the ground truth, and the training curves.

``predictions`` runs a model, ``panels`` draws one picture, ``contact_sheet`` puts many on a page,
``curves`` reads and plots the log of a run. Matplotlib and mmengine only; the framework is found
through the config.
"""
