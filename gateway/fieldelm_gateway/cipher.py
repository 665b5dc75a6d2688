"""AES-128-CCM of the `cryptography` package, in the form that `fieldelm.frame` works with."""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from fieldelm.frame import TagError

KEY_BYTES = 16


def check_value(key: bytes) -> str:
    """First two bytes of AES(key, 0), in hex: tells keys apart without telling the key."""
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305
    return encryptor.update(bytes(KEY_BYTES))[:2].hex()


class Ccm:
    """One key's cipher; works in the caller's buffer, like `fieldelm.ccm.Ccm` on a node."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError("an AES-128 key has 16 bytes")
        self._by_tag = {4: AESCCM(key, 4), 8: AESCCM(key, 8)}

    def seal_into(self, buffer: bytearray, nonce: bytearray, aad_bytes: int, end: int, tag_bytes: int) -> int:
        """Encrypt `buffer[aad_bytes:end]`, write the tag behind it, return the frame's length."""
        sealed = self._by_tag[tag_bytes].encrypt(bytes(nonce), bytes(buffer[aad_bytes:end]), bytes(buffer[:aad_bytes]))
        length = aad_bytes + len(sealed)
        buffer[aad_bytes:length] = sealed
        return length

    def open_into(self, buffer: bytearray, nonce: bytearray, aad_bytes: int, length: int, tag_bytes: int) -> int:
        """Decrypt a frame of `length` bytes in place, return where its plain text ends. Raises TagError."""
        end = length - tag_bytes
        if end < aad_bytes:
            raise TagError("frame too short")
        try:
            plain = self._by_tag[tag_bytes].decrypt(
                bytes(nonce), bytes(buffer[aad_bytes:length]), bytes(buffer[:aad_bytes])
            )
        except InvalidTag:
            raise TagError from None
        buffer[aad_bytes:end] = plain
        return end
