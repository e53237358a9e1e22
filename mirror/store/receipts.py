"""The receipts of imports: one durable file for each, never changed and never removed by us.

They hold the sequences below which no bundle is taken in, so one that cannot be read, or that is not what its name
says, stops whoever asks; it is never passed over.
"""

from __future__ import annotations

from pathlib import Path

from mirror.errors import StoreError
from mirror.model.bundle import ImportReceipt, read_receipt
from mirror.store.disk import flush, make_directories, write_new
from mirror.store.layout import Layout


class Receipts:
    """What was imported into one root."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def all(self) -> list[ImportReceipt]:
        """All receipts, in the order in which they were published here. Raises `StoreError` and OSError.

        The sequence tells it, which rises with each: a clock may be set back, and generations are counted anew in a
        root that was lost and has only its receipts back.
        """
        if not self._layout.imports.is_dir():
            return []
        found = (self._read(path) for path in self._layout.imports.iterdir())
        return sorted(found, key=lambda receipt: (receipt.sequence, receipt.imported))

    def keep(self, receipt: ImportReceipt, run: Path) -> None:
        """Keep `receipt`, durably; `run` is the directory of this run. Raises OSError."""
        made: set[str] = set()
        if not self._layout.imports.is_dir():
            make_directories(self._layout.imports, made)
        fresh = run / "import"
        write_new(fresh, receipt.encode(), 0o644)
        flush(self._layout.root, [fresh, *made])
        fresh.rename(self._layout.imported(receipt))
        flush(self._layout.root, [self._layout.imports])

    def _read(self, path: Path) -> ImportReceipt:
        try:
            receipt = read_receipt(path.read_bytes())
        except ValueError:
            receipt = None
        if receipt is None or self._layout.imported(receipt) != path:
            remedy = "put back the copy that travelled to the exporting side"
            danger = "without it an older bundle could be imported again"
            raise StoreError(f"{path} is no receipt of an import here; {remedy}: {danger}")
        return receipt
