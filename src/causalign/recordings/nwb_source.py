"""Sessions in the NWB format, wherever they are: a file, a Zarr store, an address, or an open object."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from causalign.errors import FileFormatError, InvalidArgument, MissingDependency
from causalign.recordings.remote_file import open_remote

_ADDRESSES = ("http://", "https://")


@dataclass(frozen=True, eq=False)
class NWBSource:
    """An open session.

    Attributes:
        session: The `pynwb.NWBFile`.
        name: The name of the file, or the identifier of a session that was open already.
        close: Close the file. It does nothing to an object that the user opened.
    """

    session: Any
    name: str
    close: Callable[[], None]


def open_nwb(where: Any) -> NWBSource:
    """Open a session.

    Args:
        where: The path of an HDF5 file or of a Zarr store, an http address, an `h5py.File`, or a `pynwb.NWBFile`.

    Raises:
        MissingDependency: pynwb, or hdmf-zarr for a Zarr store, is not installed.
        FileFormatError: There is no such file, it is not in the NWB format 2, it needs an extension that is neither in
            the file nor installed, or an address cannot be read.
        InvalidArgument: `where` is something else.
    """
    try:
        import h5py
        import pynwb
    except ImportError:
        raise MissingDependency("reading NWB files needs pynwb: pip install causalign[neuro]") from None
    if isinstance(where, pynwb.NWBFile):
        return NWBSource(where, _name_of(where), lambda: None)
    if isinstance(where, h5py.File):
        return _of_hdf5(where, Path(where.filename).name, owned=False)
    if not isinstance(where, str | Path):
        raise InvalidArgument(
            f"a session is a path, an http address, an h5py.File or a pynwb.NWBFile; found {type(where).__name__}"
        )
    if str(where).startswith(_ADDRESSES):
        return _of_hdf5(
            _hdf5(open_remote(str(where)), str(where)), str(where).split("?")[0].rpartition("/")[2], owned=True
        )
    path = Path(where).expanduser()
    if path.is_dir():
        return _of_zarr(path)
    if not path.is_file():
        raise FileFormatError(f"{path}: no such file")
    return _of_hdf5(_hdf5(path, str(path)), path.name, owned=True, shown=str(path))


def _name_of(session: Any) -> str:
    source = getattr(session, "container_source", None)
    return Path(source).name if source else str(session.identifier)


def _hdf5(file: Any, shown: str) -> Any:
    import h5py

    try:
        return h5py.File(file, "r")
    except OSError as error:
        if isinstance(file, Path) and h5py.is_hdf5(file):
            raise FileFormatError(f"{shown}: cannot be opened ({error})") from None
        raise FileFormatError(f"{shown}: not an NWB file (it is not an HDF5 file)") from None


def _of_hdf5(file: Any, name: str, *, owned: bool, shown: str | None = None) -> NWBSource:
    import pynwb

    shown = shown or name
    io = None
    try:
        if "nwb_version" not in file.attrs:
            if "nwb_version" in file:
                version = file["nwb_version"][()]
                version = version.decode() if isinstance(version, bytes) else str(version)
                raise FileFormatError(
                    f"{shown}: {version} is the format of NWB 1, which pynwb cannot read; convert it to NWB 2"
                )
            raise FileFormatError(f"{shown}: not an NWB file (an HDF5 file without nwb_version)")
        io = pynwb.NWBHDF5IO(file=file, mode="r", load_namespaces=True)
        return NWBSource(_read(io, shown, _extensions(file)), name, file.close if owned else lambda: None)
    except BaseException:
        if owned:
            if io is not None:
                io.close()
            file.close()
        raise


def _of_zarr(path: Path) -> NWBSource:
    if not any((path / name).exists() for name in (".zgroup", ".zmetadata", "zarr.json")):
        raise FileFormatError(f"{path}: a folder that is not a Zarr store")
    try:
        from hdmf_zarr import NWBZarrIO
    except ImportError:
        raise MissingDependency("reading Zarr stores needs hdmf-zarr: pip install causalign[zarr]") from None
    try:
        io = NWBZarrIO(str(path), mode="r", load_namespaces=True)
    except Exception as error:  # the errors of zarr have no base class in common
        raise FileFormatError(f"{path}: cannot be read as NWB ({_first_line(error)})") from None
    try:
        return NWBSource(_read(io, str(path), []), path.name, io.close)
    except BaseException:
        io.close()
        raise


def _read(io: Any, shown: str, extensions: list[str]) -> Any:
    try:
        return io.read()
    except Exception as error:  # the errors of pynwb and hdmf have no base class in common
        if extensions:
            raise FileFormatError(
                f"{shown}: needs the extension {', '.join(extensions)}, which is neither in the file nor installed: "
                f"pip install {' '.join(extensions)}"
            ) from None
        raise FileFormatError(f"{shown}: cannot be read as NWB ({_first_line(error)})") from None


def _extensions(file: Any) -> list[str]:
    """Return the namespaces that the file's objects are of, and that are neither in the file nor loaded."""
    import pynwb

    names: set[str] = set()

    def visit(_: str, item: Any) -> None:
        if isinstance(name := item.attrs.get("namespace"), str):
            names.add(name)

    file.visititems(visit)
    known = {*file.get("specifications", ()), *pynwb.get_type_map().namespace_catalog.namespaces}
    return sorted(names - known)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
