"""The key that a node seals with: the configuration's, until a gateway has given it another one by command.

A rotated key is in a record of its own on flash. The record names the key of the configuration that it took the place of, so
a board that was provisioned anew does not go on with what its predecessor was given.
"""

from binascii import unhexlify

from cryptolib import aes
from micropython import const

from fieldelm.storage import Record, StorageError

_VERSION = const(1)
_ECB = const(1)
_KEY = const(16)
_LENGTH = const(2 + 8 + 16)  # version, key id, whose place it took, key


class Keys:
    """``key_id`` and ``key`` are in use until ``switch``; ``rotate`` stores the next one first.

    config: a node's configuration. A record that is spoilt in both copies raises StorageError: the key in the configuration
    is one that the gateway no longer takes, and its counters do not tell what was used.
    """

    def __init__(self, config):
        self._record = Record("keys")
        self._stored = bytearray(_LENGTH)
        self.key_id = config["key_id"]
        self.key = unhexlify(config["keys"][str(self.key_id)])
        self._origin = bytearray(_KEY)
        self._origin[:8] = unhexlify(config["eui"])
        aes(self.key, _ECB).encrypt(self._origin, self._origin)
        try:
            found = self._record.read(self._stored)
        except StorageError:
            if not self._record.first_cut:  # power was cut while the first one was written: the old key stands
                raise
            found = False
        if found and self._stored[2:10] == self._origin[:8]:
            self.switch()
        else:
            self._stored[0] = 0

    def rotate(self, key_id, key):
        """Store the key that is to be used from ``switch`` on; the same one again is right. Raises OSError, then nothing changed.

        False if ``key_id`` is the slot of the key in use and the key another one.
        """
        key = bytes(key)
        if key_id == self.key_id:
            return key == self.key
        stored = bytearray(_LENGTH)
        stored[0] = _VERSION
        stored[1] = key_id
        stored[2:10] = self._origin[:8]
        stored[10:] = key
        self._record.store((stored,))
        self._stored[:] = stored
        try:
            self._record.store((stored,))  # into the twin, too: worn flash must not bring back a key that was given up
        except OSError:
            pass
        return True

    def switch(self):
        """Use what was stored last."""
        if self._stored[0] == _VERSION:
            self.key_id = self._stored[1]
            self.key = bytes(self._stored[10:])
