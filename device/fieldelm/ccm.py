"""AES-128 in CCM mode (RFC 3610, NIST SP 800-38C), composed of AES-ECB.

The rp2 firmware's ``cryptolib`` has ECB and CBC only. Nonces are 13 bytes, so the length field has L = 2 bytes; tags are 4
or 8 bytes. The gateway uses the same frames with the AESCCM of the ``cryptography`` package, which agrees byte for byte.
"""

from cryptolib import aes
from micropython import const

from fieldelm.frame import TagError

_ECB = const(1)
_BLOCK = const(16)


class Ccm:
    """One key's cipher. ``seal_into`` and ``open_into`` work in the caller's buffer and keep no message.

    key: 16 bytes. Raises ValueError for another length.
    """

    def __init__(self, key):
        if len(key) != 16:
            raise ValueError("an AES-128 key has 16 bytes")
        self._aes = aes(key, _ECB)
        self._a = bytearray(_BLOCK)  # counter block A_i, then the key stream S_i
        self._mac = bytearray(_BLOCK)  # CBC-MAC state X_i

    def _absorb(self, data, start, end):
        # X := AES(X xor block), the last block padded with zeros
        mac = self._mac
        i = start
        while i < end:
            n = min(_BLOCK, end - i)
            for j in range(n):
                mac[j] ^= data[i + j]
            self._aes.encrypt(mac, mac)
            i += n

    def _authenticate(self, nonce, aad_bytes, buffer, end, tag_bytes):
        # RFC 3610 section 2.2: B_0 = flags | nonce | length, then the additional data behind its own length, then the text
        mac = self._mac
        mac[0] = (0x40 if aad_bytes else 0) | ((tag_bytes - 2) // 2) << 3 | 1
        mac[1:14] = nonce
        length = end - aad_bytes
        mac[14] = length >> 8
        mac[15] = length & 0xFF
        self._aes.encrypt(mac, mac)
        if aad_bytes:
            # The two length bytes come first, so this block holds 14 bytes of data; headers are 5 or 7 bytes.
            if aad_bytes > 14:
                raise ValueError("at most 14 bytes of additional data")
            mac[0] ^= aad_bytes >> 8
            mac[1] ^= aad_bytes & 0xFF
            for j in range(aad_bytes):
                mac[2 + j] ^= buffer[j]
            self._aes.encrypt(mac, mac)
        self._absorb(buffer, aad_bytes, end)

    def _stream_block(self, nonce, i):
        # RFC 3610 section 2.3: S_i = AES(A_i), A_i = flags | nonce | i
        a = self._a
        a[0] = 1
        a[1:14] = nonce
        a[14] = i >> 8
        a[15] = i & 0xFF
        self._aes.encrypt(a, a)

    def _crypt(self, nonce, buffer, start, end):
        a = self._a
        block = 1
        i = start
        while i < end:
            self._stream_block(nonce, block)
            n = min(_BLOCK, end - i)
            for j in range(n):
                buffer[i + j] ^= a[j]
            i += n
            block += 1

    def seal_into(self, buffer, nonce, aad_bytes, end, tag_bytes):
        """Encrypt ``buffer[aad_bytes:end]`` in place, write the tag behind it, return the frame's length.

        ``buffer[:aad_bytes]`` is authenticated and stays in clear. ``buffer`` needs ``end + tag_bytes`` bytes.
        """
        self._authenticate(nonce, aad_bytes, buffer, end, tag_bytes)
        self._crypt(nonce, buffer, aad_bytes, end)
        self._stream_block(nonce, 0)
        for j in range(tag_bytes):
            buffer[end + j] = self._mac[j] ^ self._a[j]
        return end + tag_bytes

    def open_into(self, buffer, nonce, aad_bytes, length, tag_bytes):
        """Decrypt a frame of ``length`` bytes in place, return where its plain text ends.

        Raises TagError, with the buffer's text zeroed, if the tag does not fit. The comparison takes the same time
        wherever the tags differ.
        """
        end = length - tag_bytes
        if end < aad_bytes:
            raise TagError("frame too short")
        self._crypt(nonce, buffer, aad_bytes, end)
        self._authenticate(nonce, aad_bytes, buffer, end, tag_bytes)
        self._stream_block(nonce, 0)
        difference = 0
        for j in range(tag_bytes):
            difference |= buffer[end + j] ^ self._mac[j] ^ self._a[j]
        if difference:
            for j in range(aad_bytes, end):
                buffer[j] = 0
            raise TagError("the tag does not fit the frame")
        return end
