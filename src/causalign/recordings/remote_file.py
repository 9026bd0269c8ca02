"""A file behind an http address, of which only the parts that are read are transferred."""

import io
import urllib.error
import urllib.request
from typing import Any

from typing_extensions import override

from causalign.errors import FileFormatError

_AT_ONCE = 2**20  # bytes of a request; nearby reads of HDF5 are served by one
_PATIENCE = 30  # seconds


class RemoteFile(io.RawIOBase):
    """The bytes of a file on a server that serves ranges, as the archives of DANDI and Amazon do.

    Args:
        address: The http or https address.

    Raises:
        FileFormatError: The server cannot be reached, has no such file, or does not serve ranges.
    """

    def __init__(self, address: str) -> None:
        self._address, self._position = address, 0
        with self._request(0, 1) as response:
            size = response.headers.get("Content-Range", "").rpartition("/")[2]
            self._address = response.url  # where redirections lead
        if not size.isdigit():
            raise FileFormatError(f"{address}: the server does not serve parts of files; download the file first")
        self._size = int(size)

    def _request(self, start: int, count: int) -> Any:
        headers = {"Range": f"bytes={start}-{start + count - 1}"}
        try:
            return urllib.request.urlopen(urllib.request.Request(self._address, headers=headers), timeout=_PATIENCE)
        except (urllib.error.URLError, TimeoutError, ValueError) as error:
            raise FileFormatError(f"{self._address}: cannot be read ({getattr(error, 'reason', error)})") from None

    @override
    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), self._size - self._position)
        if count <= 0:
            return 0
        with self._request(self._position, count) as response:
            data = response.read()
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    @override
    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    @override
    def tell(self) -> int:
        return self._position

    @override
    def readable(self) -> bool:
        return True

    @override
    def seekable(self) -> bool:
        return True


def open_remote(address: str) -> io.BufferedReader:
    """Open a remote file for reading.

    Raises:
        FileFormatError: As `RemoteFile`.
    """
    return io.BufferedReader(RemoteFile(address), _AT_ONCE)
