"""Union-find, and the walk through a cluster in keep order."""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels.jit import jit


@jit
def root_of(parent: Any, node: Any) -> Any:
    """The root of a node; halves the path on its way."""
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@jit
def components(num_nodes: Any, left: Any, right: Any) -> Any:
    """For each node the smallest node that edges connect it with, whatever the edges' order."""
    parent = np.arange(num_nodes)
    for edge in range(len(left)):
        a, b = root_of(parent, left[edge]), root_of(parent, right[edge])
        # The smaller index becomes the root: no rank is needed, and the root is the answer.
        if a < b:
            parent[b] = a
        else:
            parent[a] = b
    for node in range(num_nodes):
        parent[node] = parent[parent[node]]
    return parent


@jit
def count_equal(signatures: Any, i: Any, j: Any) -> Any:
    """In how many places two signatures agree."""
    equal = 0
    for k in range(signatures.shape[1]):
        equal += signatures[i, k] == signatures[j, k]
    return equal


@jit
def walk(signatures: Any, slots: Any, num_slots: Any, least_equal: Any, max_tries: Any) -> Any:
    """Members in keep order -> the kept one that each loses to (-1 = kept), and equal places.

    `slots[i, band]` numbers the bucket of member i in a band. A member is compared with the kept
    members of its buckets, at most `max_tries` of each, the first kept first; it loses to the most
    similar one that agrees in at least `least_equal` places, the first kept among equals.
    """
    num_members, bands = slots.shape
    winner = np.full(num_members, -1, dtype=np.int64)
    places = np.zeros(num_members, dtype=np.int64)
    head, tail = np.full(num_slots, -1, dtype=np.int64), np.full(num_slots, -1, dtype=np.int64)
    following = np.full(num_members * bands, -1, dtype=np.int64)
    seen = np.full(num_members, -1, dtype=np.int64)
    for i in range(num_members):
        for band in range(bands):
            link, tries = head[slots[i, band]], 0
            while link >= 0 and tries < max_tries:
                other, tries = link // bands, tries + 1
                link = following[link]
                if seen[other] == i:
                    continue
                seen[other] = i
                equal = count_equal(signatures, i, other)
                better = equal > places[i] or (equal == places[i] and other < winner[i])
                if equal >= least_equal and (winner[i] < 0 or better):
                    winner[i], places[i] = other, equal
        if winner[i] >= 0:
            continue
        for band in range(bands):
            slot, link = slots[i, band], i * bands + band
            if head[slot] < 0:
                head[slot] = link
            else:
                following[tail[slot]] = link
            tail[slot] = link
    return winner, places
