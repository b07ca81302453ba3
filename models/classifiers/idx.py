"""The former place of `models.data.idx`; gone as soon as nothing imports it from here."""

from models.data.idx import has_idx_files, read_idx_folder

__all__ = ["has_idx_files", "read_idx_folder"]
