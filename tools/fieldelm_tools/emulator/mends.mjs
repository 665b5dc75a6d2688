/**
 * Where rp2040js 1.4.1 behaves otherwise than the RP2040 does, and a program on the Pico can tell.
 */

const ALARM0 = 0x10;
const ALARM3 = 0x1c;
const UART_DR = 0;
const UART_TX_INTERRUPT = 1 << 5;
const I2C_TX_EMPTY = 1 << 4;
const SIE_STATUS = 0x50;
const SIE_SUSPENDED = 1 << 4;
const SIO_FIFO_ST = 0x50;
const SIO_FIFO_RD = 0x58;
const SIO_FIFO_VALID = 1;
const SIO_FIFO_READY = 2;
const PSM_FRCE_OFF = 0x04;
const PSM_PROC1 = 1 << 16;
const SSI_SER = 0x10;
const SSI_RXFLR = 0x24;
const SSI_SR = 0x28;
const SSI_TRANSMIT_EMPTY = 6; // and not full
const SSI_RECEIVE_NOT_EMPTY = 8;
const SSI_RISR = 0x34;
const SSI_RXOICR = 0x3c;
const SSI_ICR = 0x48;
const SSI_DR0 = 0x60;
const QSPI_SS_CTRL = 0x0c;
const FLASH_READ_STATUS = 0x05;
const FLASH_READ_UNIQUE_ID = 0x4b;
const FLASH_READ_JEDEC_ID = 0x9f;
const W25Q16JV = [0xef, 0x40, 0x15];

/** The transmit interrupt of the PL011 rises when a byte leaves, and ICR clears it; else `machine.UART()` never returns. */
function mendUart(mcu) {
  for (const uart of mcu.uart) {
    uart.checkInterrupts = () => mcu.setInterrupt(uart.irq, Boolean(uart.interruptStatus & uart.interruptMask));
    const write = uart.writeUint32.bind(uart);
    uart.writeUint32 = (offset, value) => {
      write(offset, value);
      if (offset === UART_DR) {
        uart.interruptStatus |= UART_TX_INTERRUPT;
        uart.checkInterrupts();
      }
    };
  }
}

/** An aborted I2C transfer empties the transmit FIFO, and the flag says so: drivers wait for it before they look why. */
function mendI2c(mcu) {
  for (const i2c of mcu.i2c) {
    const abort = i2c.abort.bind(i2c);
    i2c.abort = (reason) => {
      abort(reason);
      i2c.setInterrupts(I2C_TX_EMPTY);
    };
  }
}

/** A timer alarm fires at the microsecond it names (RP2040 datasheet 4.6.3), not up to one before. */
function mendTimer(mcu, clock) {
  const timer = mcu.peripherals[0x40054];
  const write = timer.writeUint32.bind(timer);
  timer.writeUint32 = (offset, value) => {
    write(offset, value);
    if (offset < ALARM0 || offset > ALARM3) return;
    const now = clock.nanos;
    const micros = Math.floor(now / 1000);
    timer.alarms[(offset - ALARM0) / 4].clockAlarm.schedule((micros + ((value - micros) >>> 0)) * 1000 - now);
  };
}

/** SysTick counts for ever; unless it interrupts, nobody waits for it. */
function mendSysTick(mcu) {
  Object.defineProperty(mcu.ppb.systickAlarm.clockAlarm, 'background', { get: () => !mcu.ppb.systickIntEnable });
}

/**
 * The second core is not emulated. All it does is what its boot ROM does after a reset: it puts a zero into the mailbox
 * of the first core (RP2040 datasheet 2.8.2).
 */
function mendSecondCore(mcu) {
  const mailbox = [];
  const read = mcu.sio.readUint32.bind(mcu.sio);
  mcu.sio.readUint32 = (offset) => {
    if (offset === SIO_FIFO_ST) return SIO_FIFO_READY | (mailbox.length ? SIO_FIFO_VALID : 0);
    if (offset === SIO_FIFO_RD) return mailbox.shift() ?? 0;
    return read(offset);
  };
  const psm = mcu.peripherals[0x40010];
  const write = psm.writeUint32.bind(psm);
  psm.writeUint32 = (offset, value) => {
    if (offset === PSM_FRCE_OFF && psm.frceOff & ~value & PSM_PROC1) mailbox.push(0);
    write(offset, value);
  };
}

/** SUSPENDED says that the bus is silent; writing it clears the interrupt, not the bit (RP2040 datasheet 4.1.4). */
function mendUsb(mcu) {
  const usb = mcu.usbCtrl;
  let acknowledged = false;
  const update = usb.sieStatusUpdated.bind(usb);
  usb.sieStatusUpdated = () => {
    if (!(usb.sieStatus & SIE_SUSPENDED)) acknowledged = false;
    const suspended = usb.sieStatus & SIE_SUSPENDED;
    if (acknowledged) usb.sieStatus &= ~SIE_SUSPENDED;
    update();
    usb.sieStatus |= suspended;
  };
  const write = usb.writeUint32.bind(usb);
  usb.writeUint32 = (offset, value) => {
    if (offset === SIE_STATUS && usb.rawWriteValue & SIE_SUSPENDED && usb.sieStatus & SIE_SUSPENDED) acknowledged = true;
    write(offset, value);
  };
}

/** The flash chip answers commands that the SSI sends byte by byte: status, JEDEC id and its unique id. */
function mendFlashCommands(mcu, uniqueId) {
  const ssi = mcu.peripherals[0x18000];
  const answers = { [FLASH_READ_JEDEC_ID]: [0, ...W25Q16JV], [FLASH_READ_UNIQUE_ID]: [0, 0, 0, 0, 0, ...uniqueId] };
  let command = null;
  let position = 0;
  const received = [];
  const write = ssi.writeUint32.bind(ssi);
  const read = ssi.readUint32.bind(ssi);
  ssi.writeUint32 = (offset, value) => {
    if (offset !== SSI_DR0) return offset === SSI_SER ? undefined : write(offset, value);
    if (command === null) command = value & 0xff;
    received.push(command === FLASH_READ_STATUS ? 0 : (answers[command]?.[position] ?? 0));
    position++;
    if (received.length > 16) received.shift();
    return undefined;
  };
  ssi.readUint32 = (offset) => {
    if (offset === SSI_DR0) return received.shift() ?? 0;
    if (offset === SSI_RXFLR) return received.length;
    if (offset === SSI_SR) return SSI_TRANSMIT_EMPTY | (received.length ? SSI_RECEIVE_NOT_EMPTY : 0);
    return [SSI_RISR, SSI_RXOICR, SSI_ICR].includes(offset) ? 0 : read(offset);
  };
  const select = mcu.peripherals[0x40018]; // IO_QSPI: the boot ROM and the SDK move the chip select by its override
  let control = 0;
  select.readUint32 = (offset) => (offset === QSPI_SS_CTRL ? control : 0);
  select.writeUint32 = (offset, value) => {
    if (offset !== QSPI_SS_CTRL) return;
    control = value;
    command = null;
    position = 0;
    received.length = 0;
  };
}

/** Registers that nobody models: quiet, and they remember what was written. */
function mendUnmodelled(mcu) {
  for (const base of [0x40060, 0x40064]) {
    const values = new Map(base === 0x40060 ? [[0x18, 0x80001000]] : []); // ROSC status: stable and enabled
    const peripheral = mcu.peripherals[base];
    peripheral.readUint32 = (offset) => values.get(offset) ?? 0;
    peripheral.writeUint32 = (offset, value) => values.set(offset, value);
  }
}

/**
 * Waiting for an interrupt (ARMv6-M ARM, B1.5.19): one that is pending, enabled and of sufficient priority ends the
 * wait even while PRIMASK keeps it from being taken. SEV sets the event register of the core that executes it, too.
 */
function mendSleep(mcu) {
  const { core } = mcu;
  const take = core.checkForInterrupts.bind(core);
  core.checkForInterrupts = () => {
    const urgent = core.pendingNMI;
    if (core.waiting) {
      const bits = core.pendingInterrupts & core.enabledInterrupts;
      if (!bits && !urgent && !core.pendingSystick && !core.pendingPendSV && !core.pendingSVCall) {
        core.interruptsUpdated = false;
        return false;
      }
      core.waiting = false;
    }
    if (core.PM && !urgent) {
      core.interruptsUpdated = false;
      return false;
    }
    return take();
  };
}

/** An access that is not aligned to its size is a hard fault (ARMv6-M ARM, A3.2). */
function mendAlignment(mcu, fault) {
  for (const [name, mask] of [['readUint32', 3], ['writeUint32', 3], ['readUint16', 1], ['writeUint16', 1]]) {
    const access = mcu[name].bind(mcu);
    mcu[name] = (address, value) => {
      if (address & mask) fault(address >>> 0);
      return access(address - (address & mask), value);
    };
  }
}

/**
 * Apply all of it to a chip that has just been powered. `clock`: the chip's; `uniqueId`: the flash chip's 8 bytes;
 * `fault(address)`: what an unaligned access does.
 */
export function mend(mcu, clock, { uniqueId, fault }) {
  mendAlignment(mcu, fault);
  mendUart(mcu);
  mendI2c(mcu);
  mendTimer(mcu, clock);
  mendSysTick(mcu);
  mendSecondCore(mcu);
  mendUsb(mcu);
  mendFlashCommands(mcu, uniqueId);
  mendUnmodelled(mcu);
  mendSleep(mcu);
}
