"""Asking something of workers: who is meant, and the wishes by which they learn of it."""

from __future__ import annotations

from collections.abc import Sequence

from taskforge.brokers.register import Register
from taskforge.codec import Codec
from taskforge.errors import UnknownWorker
from taskforge.settings import nearest
from taskforge.workers import EVERYONE, WISH_AGE, Desire, WorkerCard, pack_desire, read_cards

#: How many names a message lists.
_LISTED = 5


def control(codec: Codec, register: Register, desire: Desire, names: Sequence[str] = ()) -> list[WorkerCard]:
    """Ask it of the workers of these names; of all, those to come included, when none is named. The living ones meant.

    A name is a worker's, a group's, a host's, or the beginning of one that fits no other. Raises UnknownWorker before
    anything is asked.
    """
    cards = read_cards(codec, register)
    targets = list(dict.fromkeys(target for name in names or [EVERYONE] for target in targets_of(name, cards)))
    wish = pack_desire(codec, desire)
    for target in targets:
        register.wish(target, wish, WISH_AGE, [card.name for card in cards if target in card.targets], desire.about)
    return [card for card in cards if not set(targets).isdisjoint(card.targets)]


def targets_of(name: str, cards: Sequence[WorkerCard]) -> list[str]:
    """The targets that a name stands for. Raises UnknownWorker when it is nobody's, or may be several's."""
    names, groups = {card.name for card in cards}, {card.group for card in cards if card.group}
    hosts = {card.host for card in cards if card.host}
    if name == EVERYONE or name in names | groups:
        return [name]
    if name in hosts:  # by groups: a process that is replaced meanwhile is reached, too
        return sorted({card.group or card.name for card in cards if card.host == name})
    fitting = [card for card in cards if name and (card.name.startswith(name) or card.group.startswith(name))]
    whole = {card.group for card in fitting if card.group.startswith(name)}
    if len(whole) == 1 and all(card.group in whole for card in fitting):
        return sorted(whole)
    if len(fitting) == 1:
        return [fitting[0].name]
    if fitting:
        some = sorted(card.name for card in fitting)
        more = f" and {len(some) - _LISTED} more" if len(some) > _LISTED else ""
        raise UnknownWorker(f"{name!r} may mean {', '.join(some[:_LISTED])}{more}: write more of the name")
    known = nearest(name, names | groups | hosts) if cards else "; none lives at present"
    raise UnknownWorker(f"no worker, group or host is named {name!r}{known}")
