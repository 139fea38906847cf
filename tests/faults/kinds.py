"""All kinds of fault, in the order of the table."""

from __future__ import annotations

from faults import hostile_checkpoints, hostile_others, hostile_texts
from faults.bit_flips import bit_flip_kinds
from faults.campaign import Kind
from faults.disks import full_disk_kinds
from faults.downloads import download_kinds
from faults.hostile import hostile_kind
from faults.serving import serving_kinds
from faults.torchrun import torchrun_kinds
from faults.works import interruption_kinds


def all_kinds() -> list[Kind]:
    """Return every kind of fault."""
    nothing = hostile_texts.prepare
    return [
        *interruption_kinds(),
        *torchrun_kinds(),
        *full_disk_kinds(),
        *bit_flip_kinds(),
        hostile_kind("checkpoints", hostile_checkpoints.checkpoint_table, hostile_checkpoints.prepare),
        hostile_kind("configurations", hostile_texts.yaml_table, nothing),
        hostile_kind("documents", hostile_texts.document_table, nothing),
        hostile_kind("conversations", hostile_texts.conversation_table, nothing),
        hostile_kind("notebooks", hostile_others.notebook_table, nothing),
        hostile_kind("matrices", hostile_others.matrix_table, nothing),
        hostile_kind("folders", hostile_others.folder_table, hostile_others.prepare_folders),
        *download_kinds(),
        *serving_kinds(),
    ]
