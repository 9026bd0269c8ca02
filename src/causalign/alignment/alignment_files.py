"""The files of a saved alignment: `maps.safetensors`, `rows.safetensors` and `result.json`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError
from torch import Tensor

from causalign.alignment.config import SAVED, AlignmentConfig
from causalign.alignment.row_outcomes import ROWS, RowOutcomes
from causalign.alignment.schema import SCHEMA_VERSION, AlignmentSummary
from causalign.errors import FileFormatError, InvalidArgument, invalid
from causalign.files import output_folder, read_tensors, write_tensors, write_text
from causalign.maps.base import AlignmentMap, block_columns
from causalign.maps.feature_map import Encoder, FeatureMap
from causalign.maps.position_map import PositionMap
from causalign.recordings.affine_transformer import AffineTransformer
from causalign.recordings.preprocessing import Preprocessing

RESULT, MAPS = "result.json", "maps.safetensors"
FORMAT = "alignment"


class SavedParts(NamedTuple):
    """The parts of an alignment that its files hold."""

    maps: tuple[AlignmentMap, ...]
    record: AlignmentSummary
    outcomes: RowOutcomes
    preprocessing: tuple[Preprocessing | AffineTransformer | None, ...]


def write_alignment(parts: SavedParts, folder: Path) -> None:
    """Write the files of an alignment, each whole or not at all; nothing is pickled.

    The record is written last, and that of an earlier alignment is deleted first: it stands beside its own maps only.

    Raises:
        FileFormatError: The folder cannot be written.
    """
    output_folder(folder, RESULT, MAPS, ROWS)
    (folder / RESULT).unlink(missing_ok=True)
    tensors = {
        f"maps.{index}.{name}": tensor
        for index, each in enumerate(parts.maps)
        for name, tensor in each.tensors().items()
    }
    for index, step in enumerate(parts.preprocessing):
        saved = {} if step is None else step.tensors()
        tensors |= {f"preprocessing.{index}.{name}": tensor for name, tensor in saved.items()}
    parts.outcomes.save(folder)
    write_tensors(folder / MAPS, tensors, _header(parts.record))
    write_text(folder / RESULT, parts.record.model_dump_json(indent=2) + "\n")


def description(config: AlignmentConfig, data: str, sites: Sequence[tuple[str, str, str]]) -> dict[str, Any]:
    """Return what an alignment is of, as JSON.

    Args:
        config: The configuration.
        data: The fingerprint of the dataset.
        sites: The name, the place and the fingerprint of each site.
    """
    return {"config": config.model_dump(mode="json"), "data": data, "sites": [list(each) for each in sites]}


def record_description(record: AlignmentSummary) -> dict[str, Any]:
    """Return what a saved alignment is of, as JSON."""
    sites = [(site.name, site.at, site.fingerprint) for site in record.sites]
    return description(record.config, record.data, sites)


def require_no_alignment(folder: Path, of: Mapping[str, Any], overwrite: bool) -> None:
    """Check that a folder holds no alignment that is not to be replaced.

    Args:
        folder: The folder.
        of: What the alignment that is to be saved there is of, to say whether it is the same.
        overwrite: Whether it is to be replaced.

    Raises:
        InvalidArgument: It holds one, or a file of one.
    """
    present = [name for name in (RESULT, MAPS, ROWS) if (folder / name).exists()]
    if overwrite or not present:
        return
    try:
        record = read_record(folder)
        names = ", ".join(site.name for site in record.sites)
        which = (
            "this alignment" if record_description(record) == of else f"another alignment ({record.method}, {names})"
        )
    except FileFormatError:
        which = f"{', '.join(present)} of an alignment that cannot be read"
    raise InvalidArgument(f"{folder} already holds {which}: overwrite=True (--overwrite) replaces it")


def read_alignment(folder: Path) -> SavedParts:
    """Read the files of an alignment, and check them.

    Raises:
        FileFormatError: A file is missing, broken, of another format, or of another alignment; or a map is not
            orthonormal, not finite, or has no positive scale.
    """
    record = read_record(folder)
    tensors, header = read_tensors(folder / MAPS)
    if header != _header(record):
        raise FileFormatError(f"{folder / MAPS} is not of the alignment in {RESULT}: {header}, not {_header(record)}")
    try:
        blocks = block_columns(record.blocks)
        maps = tuple(replace(_map(tensors, f"maps.{index}."), blocks=blocks) for index in range(len(record.sites)))
    except KeyError as missing:
        raise FileFormatError(
            f"{folder / MAPS}: no entry {missing}, though {RESULT} has {len(record.sites)} sites"
        ) from None
    for site, each in zip(record.sites, maps, strict=True):
        said = [*([record.subspaces] if record.subspaces > 1 else []), site.width, record.rank]
        if [*each.frame.shape] != said:
            raise FileFormatError(
                f"{folder / MAPS}: the map of {site.name} is {[*each.frame.shape]}, and {RESULT} says {said}"
            )
        each.require_map(f"{folder / MAPS}, {site.name}")
    return SavedParts(maps, record, RowOutcomes.load(folder), _preprocessing(tensors, record, folder))


def _map(tensors: Mapping[str, Tensor], prefix: str) -> AlignmentMap:
    """Return the map with this prefix.

    Raises:
        FileFormatError: Features, or the scales of positions, do not fit the directions.
        KeyError: A tensor is missing.
    """
    frame, scales = tensors[f"{prefix}frame"], tensors[f"{prefix}scale"]
    if scales.shape != frame.shape[:-2]:
        raise FileFormatError(f"{prefix}scale is {[*scales.shape]}, and {prefix}frame {[*frame.shape]}")
    if frame.dim() == 3:
        return PositionMap(frame, scales.to(frame.dtype))
    scale = float(scales)
    if f"{prefix}features" not in tensors:
        return AlignmentMap(frame, scale)
    expected = {"features": frame.shape[1:], "bias": frame.shape[1:], "encoder": frame.shape}
    for name, shape in expected.items():
        if prefix + name in tensors and tensors[prefix + name].shape != shape:
            found = list(tensors[prefix + name].shape)
            raise FileFormatError(f"{prefix}{name} is {found}, and its directions {list(frame.shape)}")
    encoder = None
    if f"{prefix}encoder" in tensors:
        weight, bias, relu = (tensors[prefix + name] for name in ("encoder", "bias", "relu"))
        encoder = Encoder(weight, bias, bool(relu))
    return FeatureMap(frame, scale, features=tensors[f"{prefix}features"], encoder=encoder)


def _header(record: AlignmentSummary) -> dict[str, str]:
    """The header of the maps' file: what the file is, for which networks and data, and whose the columns are."""
    about = {
        "format": FORMAT,
        "version": SCHEMA_VERSION,
        "fingerprints": [site.fingerprint for site in record.sites],
        "data": record.data,
        "blocks": [*record.blocks.items()],  # in the order of the columns
    }
    return {"causalign": json.dumps(about, sort_keys=True)}  # one entry: several come in any order


def read_record(folder: Path) -> AlignmentSummary:
    """Read the record of a saved alignment.

    Raises:
        FileFormatError: The file is missing, broken, or of another format.
    """
    try:
        text = (folder / RESULT).read_bytes()
    except OSError as error:
        raise FileFormatError(f"{folder}: not a saved alignment ({RESULT}: {error.strerror})") from None
    try:
        return AlignmentSummary.model_validate_json(text, context=SAVED)
    except ValidationError as error:
        raise FileFormatError(str(invalid(str(folder / RESULT), error))) from None


def _preprocessing(
    tensors: Mapping[str, Tensor], record: AlignmentSummary, folder: Path
) -> tuple[Preprocessing | AffineTransformer | None, ...]:
    found: list[Preprocessing | AffineTransformer | None] = []
    for index, site in enumerate(record.sites):
        prefix = f"preprocessing.{index}."
        given = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        try:
            kind = AffineTransformer if "forward" in given else Preprocessing
            found.append(None if site.recording is None else kind.of_tensors(given))
        except KeyError as missing:
            raise FileFormatError(f"{folder / MAPS}: what was done to {site.name} first lacks {missing}") from None
    return tuple(found)
