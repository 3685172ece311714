"""The errors of annotation files: which file, which entry, what was expected, what came, how many more like it."""

from collections.abc import Sequence

from ..errors import InputError


class Entries:
    """The entries of one list of a json, checked one property at a time.

    Args:
        entries: the list.
        group: its key.
        where: the file.
    """

    def __init__(self, entries: list, group: str, where) -> None:
        self.entries, self.group, self.where = entries, group, where

    def must(self, is_good, expected: str, got, remedy: str) -> None:
        """Refuse the first entry for which ``is_good`` is false, with the number of those like it."""
        self.refuse([number for number, one in enumerate(self.entries) if not is_good(one)], expected, got, remedy)

    def refuse(self, bad: Sequence[int], expected: str, got, remedy: str) -> None:
        """Refuse the first entry of these numbers, if there are any, with how many they are."""
        if not len(bad):
            return
        first = self.entries[bad[0]]
        name = f" (id {first['id']!r:.80})" if isinstance(first, dict) and "id" in first else ""
        others = f"; {len(bad)} entries in all are like that" if len(bad) > 1 else ""
        raise InputError(
            f"{self.where}: {self.group}[{bad[0]}]{name}: expected {expected}, got {got(first)}{others}; {remedy}."
        )

    def have(self, key: str, is_good, expected: str, remedy: str, default=None, all_good=None) -> None:
        """Refuse the first entry whose value under ``key`` is not good.

        Args:
            all_good: values of all entries -> bool, quicker than asking for each; False if undecided.
        """
        if all_good is not None and all_good([one.get(key, default) for one in self.entries]):
            return
        self.must(
            lambda one: is_good(one.get(key, default)),
            expected,
            lambda one: f"{one[key]!r:.80}" if key in one else f"no {key}",
            remedy,
        )
