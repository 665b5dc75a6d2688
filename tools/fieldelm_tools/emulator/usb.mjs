/**
 * The computer at the other end of the Pico's USB cable: it enumerates the device and keeps its serial port (CDC ACM)
 * open, with the manners of a real host: an OUT endpoint waits until there is something to send, an IN endpoint is not
 * emptied while nobody reads, DTR follows the program that has opened the port.
 */

import {
  DataDirection,
  DescriptorType,
  SetupRecipient,
  SetupType,
  createSetupPacket,
  getDescriptorPacket,
  setDeviceAddressPacket,
  setDeviceConfigurationPacket,
} from 'rp2040js';

const CONFIGURATION_HEADER = 9;
const CDC_DATA_CLASS = 10;
const CDC_SET_CONTROL_LINE_STATE = 0x22;
const DTR_RTS = 3;
const BULK = 2;
const SUSPENDED = 1 << 4; // of SIE_STATUS
const SUSPEND_NS = 3_000_000; // of silence on the bus (USB 2.0, 7.1.7.6)
const PACKET_NS = 55_000; // 64 bytes of bulk data at full speed, 19 packets a frame of 1 ms at most

/** Numbers of the two bulk endpoints of the serial port in a configuration descriptor. */
function bulkEndpoints(descriptor) {
  const endpoints = {};
  let inData = false;
  for (let at = 0; at + 1 < descriptor.length && descriptor[at] >= 2; at += descriptor[at]) {
    const type = descriptor[at + 1];
    if (type === DescriptorType.Interface) inData = descriptor[at + 5] === CDC_DATA_CLASS;
    if (inData && type === DescriptorType.Endpoint && (descriptor[at + 3] & 3) === BULK) {
      const address = descriptor[at + 2];
      endpoints[address & 0x80 ? 'in' : 'out'] = address & 0xf;
    }
  }
  return endpoints;
}

/** A host port with one serial device. */
export class UsbHost {
  /** `clock`: emulated time. `onData(bytes)`: what the Pico has written. `onConnected()`: the port can be opened. */
  constructor(clock, { onData = () => {}, onConnected = () => {} } = {}) {
    this.clock = clock;
    this.onData = onData;
    this.onConnected = onConnected;
    this.plugged = true;
    this.open = false; // a program has the port open
    this.stalled = false; // and does not read from it
    this.outgoing = []; // chunks for the Pico
    this.forget();
  }

  forget() {
    this.usb = null;
    this.configured = false;
    this.enabled = false;
    this.descriptor = null;
    this.descriptorLength = 0;
    this.endpoints = {};
    this.requested = 0; // bytes that the OUT endpoint waits for
    this.held = false; // the IN endpoint waits for a reader
    this.controls = []; // control requests to send
    this.controlling = false;
  }

  /** Connect to the USB controller of a chip that has just been powered or reset. */
  attach(usb) {
    this.forget();
    this.usb = usb;
    this.packetDone = this.clock.createAlarm(() => this.release());
    this.silence = this.clock.createAlarm(() => {
      usb.sieStatus |= SUSPENDED;
      usb.sieStatusUpdated();
    });
    const indicate = usb.indicateBufferReady.bind(usb);
    usb.indicateBufferReady = (endpoint, out) => {
      if (out || endpoint === 0 || endpoint !== this.endpoints.in) indicate(endpoint, out);
      else if (this.stalled || !this.plugged) this.held = true;
      else this.packetDone.schedule(PACKET_NS);
    };
    this.release = () => {
      this.held = false;
      indicate(this.endpoints.in, false);
    };
    usb.onUSBEnabled = () => {
      this.enabled = true;
      if (this.plugged) usb.resetDevice();
      else this.silence.schedule(SUSPEND_NS);
    };
    usb.onResetReceived = () => {
      if (!this.plugged) return;
      this.controls = [];
      this.control(setDeviceAddressPacket(1));
      this.control(getDescriptorPacket(DescriptorType.Configration, CONFIGURATION_HEADER));
    };
    usb.onEndpointWrite = (endpoint, bytes) => this.received(endpoint, bytes);
    usb.onEndpointRead = (endpoint, size) => {
      if (endpoint !== this.endpoints.out) return;
      this.requested = size;
      this.feed();
    };
  }

  /** The chip has lost power or was reset: its serial port is gone until it has enumerated again. */
  detach() {
    this.packetDone?.cancel();
    this.silence?.cancel();
    this.forget();
  }

  control(packet) {
    this.controls.push(packet);
    if (!this.controlling) this.nextControl();
  }

  nextControl() {
    const packet = this.controls.shift();
    this.controlling = packet !== undefined;
    if (packet) this.usb.sendSetupPacket(packet);
  }

  received(endpoint, bytes) {
    if (endpoint === 0) {
      if (bytes.length) this.described(bytes);
      // every control transfer ends with an empty packet; for IN transfers that one goes the other way
      if (bytes.length === 0 || !this.descriptionPending()) this.nextControl();
    } else if (endpoint === this.endpoints.in && this.open) {
      this.onData(bytes);
    }
  }

  descriptionPending() {
    return this.descriptor !== null && this.descriptor.length < this.descriptorLength;
  }

  described(bytes) {
    if (this.descriptor === null) {
      this.descriptorLength = bytes[2] | (bytes[3] << 8);
      this.descriptor = [];
      this.controls.unshift(getDescriptorPacket(DescriptorType.Configration, this.descriptorLength));
      this.nextControl();
      return;
    }
    this.descriptor.push(...bytes);
    if (!this.descriptionPending()) {
      this.endpoints = bulkEndpoints(this.descriptor);
      this.configured = true;
      this.controls.push(setDeviceConfigurationPacket(1));
      this.setLineState();
      this.onConnected();
    }
  }

  setLineState() {
    if (!this.configured) return;
    this.control(
      createSetupPacket({
        dataDirection: DataDirection.HostToDevice,
        type: SetupType.Class,
        recipient: SetupRecipient.Device,
        bRequest: CDC_SET_CONTROL_LINE_STATE,
        wValue: this.open ? DTR_RTS : 0,
        wIndex: 0,
        wLength: 0,
      }),
    );
  }

  /** A program opens or closes the serial port. */
  setOpen(open) {
    this.open = open;
    if (!open) {
      this.outgoing = [];
      this.stall(false);
    }
    if (this.plugged) this.setLineState();
  }

  /** The program stops or resumes reading. */
  stall(stalled) {
    this.stalled = stalled;
    if (!stalled && this.held && this.usb) this.packetDone.schedule(PACKET_NS);
  }

  /** Pull the cable, or put it in. */
  plug(plugged) {
    if (plugged === this.plugged) return;
    this.plugged = plugged;
    this.configured = false;
    this.descriptor = null;
    this.controlling = false;
    this.endpoints = {};
    this.held = false;
    this.requested = 0;
    if (!this.enabled) return;
    if (plugged) {
      this.silence.cancel();
      this.usb.sieStatus &= ~SUSPENDED;
      this.usb.resetDevice();
    } else this.silence.schedule(SUSPEND_NS);
  }

  /** Bytes for the Pico; any value. */
  send(bytes) {
    if (bytes.length) this.outgoing.push(bytes);
    this.feed();
  }

  /** How many bytes the Pico has not taken yet. */
  get pending() {
    return this.outgoing.reduce((sum, chunk) => sum + chunk.length, 0);
  }

  feed() {
    if (!this.requested || !this.outgoing.length || !this.configured) return;
    const chunk = this.outgoing[0];
    const bytes = chunk.subarray(0, this.requested);
    if (bytes.length === chunk.length) this.outgoing.shift();
    else this.outgoing[0] = chunk.subarray(bytes.length);
    this.requested = 0;
    this.usb.endpointReadDone(this.endpoints.out, Uint8Array.from(bytes), PACKET_NS / 1000);
  }
}
