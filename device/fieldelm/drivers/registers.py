"""The registers of a sensor, on SPI or I2C. Nothing is allocated while reading.

Both have ``read(register)``, ``write(register, value)`` and ``read_into(register, buffer)`` for consecutive registers.
"""

from micropython import const

_READ = const(0x80)


class SpiRegisters:
    """First byte: bit 7 read, bit 6 several bytes (ADXL345 and LIS3DH alike). Mode 3. ``cs`` is an output pin."""

    def __init__(self, spi, cs, several=0x40):
        self._spi = spi
        self._cs = cs
        self._several = several
        self._command = bytearray(1)
        self._out = bytearray(2)
        self._in = bytearray(2)
        cs(1)

    def read(self, register):
        """One register."""
        self._out[0] = register | _READ
        self._out[1] = 0
        self._cs(0)
        self._spi.write_readinto(self._out, self._in)
        self._cs(1)
        return self._in[1]

    def write(self, register, value):
        """Set one register."""
        self._out[0] = register
        self._out[1] = value
        self._cs(0)
        self._spi.write(self._out)
        self._cs(1)

    def read_into(self, register, buffer):
        """As many registers as the buffer has bytes."""
        self._command[0] = register | _READ | self._several
        self._cs(0)
        self._spi.write(self._command)
        self._spi.readinto(buffer)
        self._cs(1)

    def free(self):
        """On SPI nobody can hold the bus: False."""
        return False


class I2cRegisters:
    """``several`` is or-ed into the register's number when more than one byte is read (LIS3DH: 0x80).

    ``free()`` is called when the chip does not answer: it frees a bus on which SDA is held low, and says whether to try again.
    """

    def __init__(self, i2c, address, several=0, free=lambda: False):
        self.free = free
        self._i2c = i2c
        self._address = address
        self._several = several
        self._one = bytearray(1)

    def read(self, register):
        """One register. Raises OSError if the chip does not acknowledge."""
        self._i2c.readfrom_mem_into(self._address, register, self._one)
        return self._one[0]

    def write(self, register, value):
        """Set one register. Raises OSError if the chip does not acknowledge."""
        self._one[0] = value
        self._i2c.writeto_mem(self._address, register, self._one)

    def read_into(self, register, buffer):
        """As many registers as the buffer has bytes. Raises OSError if the chip does not acknowledge."""
        self._i2c.readfrom_mem_into(self._address, register | self._several, buffer)
