"""On collections a block is as likely main text as the blocks of its group."""

from __future__ import annotations

import numpy as np
from slow_extract import with_neighbours

from stages.extract.features import features_of
from stages.extract.model import load_model
from stages.extract.page import Scanner
from stages.kernels.html_choice import SHARED
from stages.kernels.html_context import KINDS

PAGE = (
    "<p>Boots for rain</p><ul class=grid><li><b>Old mill boot</b><p>Brown leather, 90</p></li>"
    "<li><b>Ferry boot, high</b><p>Black, 70</p></li></ul>"
)


def test_entries_share_their_groups_mean_on_collections_only() -> None:
    page = Scanner().scan(PAGE.encode())
    found = features_of(page, load_model().odds)
    prob = np.linspace(0.1, 0.9, len(page.blocks)).astype(np.float32)
    kinds = np.zeros(len(KINDS), dtype=np.float32)
    kinds[KINDS.index("listing")] = 0.9
    assert with_neighbours(found, prob, page.blocks, kinds) is prob
    kinds[:] = 0
    kinds[KINDS.index("collection")] = 0.9
    mixed = with_neighbours(found, prob, page.blocks, kinds)
    assert page.block_text(0) == "Boots for rain"
    assert mixed[0] == prob[0]  # alone in its group
    paragraphs = [at for at in range(len(prob)) if page.block_text(at)[:2] in ("Br", "Bl")]
    mean = np.average(prob[paragraphs], weights=found.words[paragraphs])
    wanted = (1 - SHARED) * prob[paragraphs] + SHARED * mean
    np.testing.assert_allclose(mixed[paragraphs], wanted, rtol=1e-5)
