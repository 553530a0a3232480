"""Union-find, forests that merge, and the walk through a cluster in keep order."""

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
def connect(parent: Any, left: Any, right: Any) -> None:
    """Join the components of two nodes."""
    a, b = root_of(parent, left), root_of(parent, right)
    # The smaller index becomes the root: no rank is needed, and the root is the answer.
    if a < b:
        parent[b] = a
    else:
        parent[a] = b


@jit
def components(num_nodes: Any, left: Any, right: Any) -> Any:
    """For each node the smallest node that edges connect it with, whatever the edges' order."""
    parent = np.arange(num_nodes)
    for edge in range(len(left)):
        connect(parent, left[edge], right[edge])
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
def jaccard(sets: Any, starts: Any, i: Any, j: Any, least: Any) -> Any:
    """Jaccard similarity of two ascending sets that are not empty; -1 if it is below `least`.

    Stops at the first element that decides, so that two unlike sets cost little.
    """
    at, end, other, other_end = starts[i], starts[i + 1], starts[j], starts[j + 1]
    total = (end - at) + (other_end - other)
    # The fewest common elements that reach `least`, by the division that judges in the end.
    needed = max(int(least * total / (1.0 + least)) - 1, 0)
    while needed < total - needed and needed / (total - needed) < least:
        needed += 1
    spare, other_spare = (end - at) - needed, (other_end - other) - needed
    common = 0
    while at < end and other < other_end and spare >= 0 and other_spare >= 0:
        if sets[at] == sets[other]:
            common, at, other = common + 1, at + 1, other + 1
        elif sets[at] < sets[other]:
            at, spare = at + 1, spare - 1
        else:
            other, other_spare = other + 1, other_spare - 1
    if spare < 0 or other_spare < 0 or common < needed:
        return -1.0
    return common / (total - common)


@jit
def walk(
    signatures: Any,
    sets: Any,
    starts: Any,
    slots: Any,
    num_slots: Any,
    least: Any,
    max_tries: Any,
    copies: Any,
) -> Any:
    """Members in keep order -> the kept one that each loses to (-1 = kept), and their similarity.

    `slots[i, band]` numbers the bucket of member i in a band. A member is compared with the kept
    members of its buckets, at most `max_tries` of each, the first kept first. It loses if at least
    `copies` of them have a similarity of `least[i]`: to the most similar one, the first kept among
    equals. The similarity is the share of equal places of the signatures, or where `starts` is not
    empty the Jaccard similarity of the members' `sets`.
    """
    num_members, bands = slots.shape
    exact = len(starts) > 0
    winner = np.full(num_members, -1, dtype=np.int64)
    similarity = np.zeros(num_members, dtype=np.float64)
    head, tail = np.full(num_slots, -1, dtype=np.int64), np.full(num_slots, -1, dtype=np.int64)
    following = np.full(num_members * bands, -1, dtype=np.int64)
    seen = np.full(num_members, -1, dtype=np.int64)
    for i in range(num_members):
        best, most, matches = -1, -1.0, 0
        for band in range(bands):
            link, tries = head[slots[i, band]], 0
            while link >= 0 and tries < max_tries:
                other, tries = link // bands, tries + 1
                link = following[link]
                if seen[other] == i:
                    continue
                seen[other] = i
                if exact:
                    found = jaccard(sets, starts, i, other, least[i])
                else:
                    found = count_equal(signatures, i, other) / signatures.shape[1]
                if found < least[i]:
                    continue
                matches += 1
                if found > most or (found == most and other < best):
                    best, most = other, found
        if matches >= copies:
            winner[i], similarity[i] = best, most
            continue
        for band in range(bands):
            slot, link = slots[i, band], i * bands + band
            if head[slot] < 0:
                head[slot] = link
            else:
                following[tail[slot]] = link
            tail[slot] = link
    return winner, similarity


@jit
def similarities(signatures: Any, sets: Any, starts: Any, other: Any) -> Any:
    """The similarity of each member i with the member other[i], as `walk` measures it."""
    found = np.empty(len(other), dtype=np.float64)
    for i in range(len(other)):
        if len(starts) > 0:
            found[i] = jaccard(sets, starts, i, other[i], 0.0)
        else:
            found[i] = count_equal(signatures, i, other[i]) / signatures.shape[1]
    return found


@jit
def compare_nodes(left: Any, i: Any, right: Any, j: Any) -> Any:
    """-1, 0 or 1: how two nodes (two numbers each) are ordered."""
    for k in range(2):
        if left[i, k] != right[j, k]:
            return -1 if left[i, k] < right[j, k] else 1
    return 0


@jit
def count_union(left: Any, right: Any) -> Any:
    """How many distinct nodes two ascending lists hold."""
    count, i, j = 0, 0, 0
    while i < len(left) and j < len(right):
        order = compare_nodes(left, i, right, j)
        i += order <= 0
        j += order >= 0
        count += 1
    return count + len(left) - i + len(right) - j


@jit
def join_forests(left: Any, left_root: Any, right: Any, right_root: Any, count: Any) -> Any:
    """Two forests over ascending nodes -> their `count` nodes, and each one's smallest connected.

    A root is the place of a node among the nodes of its own forest.
    """
    nodes = np.empty((count, 2), dtype=np.uint64)
    left_at, right_at = np.empty(len(left), np.int64), np.empty(len(right), np.int64)
    i, j = 0, 0
    for k in range(count):
        order = -1 if j == len(right) else 1
        if i < len(left) and j < len(right):
            order = compare_nodes(left, i, right, j)
        if order <= 0:
            nodes[k, 0], nodes[k, 1] = left[i, 0], left[i, 1]
            left_at[i] = k
            i += 1
        if order >= 0:
            nodes[k, 0], nodes[k, 1] = right[j, 0], right[j, 1]
            right_at[j] = k
            j += 1
    parent = np.arange(count)
    for i in range(len(left)):
        connect(parent, left_at[i], left_at[left_root[i]])
    for j in range(len(right)):
        connect(parent, right_at[j], right_at[right_root[j]])
    for k in range(count):
        parent[k] = parent[parent[k]]
    return nodes, parent
