"""Training of the model behind the `blocks` engine. Needs the `train` extra (LightGBM).

In the order of the work: `pseudo` and `labels` (what is main text), `dataset` (pages), `odds` and
`corpus` (tables and features out of fold), `boost` and `train` (the models), `heap` and
`model_file` (their layout), `evaluate` (figures on pages held out), `command`.
"""

from stages.extract.training.command import add_train_command

__all__ = ["add_train_command"]
