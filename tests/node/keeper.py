"""What a gateway does for models: collects the fragments of one, hands out those of another."""

from fieldelm import codes, frame, payloads

HEAD = payloads.size(payloads.MODEL)
PARTS = codes.MODEL_PARTS


class Keeper:
    """Hears for ``gateway`` (bench.Gateway). ``loses(i)`` loses frame i; ``piece``: bytes that it hands out at once."""

    def __init__(self, gateway):
        self.data = bytearray()
        self.total = None
        self.name = 0
        self.loses = lambda number: False
        self.frames = 0
        self.results = []
        self.hands_out = b""
        self.piece = 200
        self._hear = gateway.hear
        self._gateway = gateway
        gateway.hear = self.hear

    def hear(self, data):
        answers = self._gateway.answers
        header = frame.parse(data, frame.UPLINK)
        if header.kind != frame.MODEL:
            return self._hear(data)
        self.frames += 1
        if self.loses(self.frames):
            return None
        answers.insert(0, self.answer)
        return self._hear(data)

    def answer(self, gateway, header, payload):
        head = payloads.unpack(payloads.MODEL, payload)
        part = PARTS[head["part"]]
        if part == "fragment":
            if head["offset"] == len(self.data):
                self.data += payload[HEAD:]
            self.name, self.total = head["model"], head["total"]
        elif part == "wanted":
            buffer = bytearray(HEAD)
            head["part"] = PARTS.index("fragment")
            payloads.pack_into(payloads.MODEL, buffer, 0, head)
            at = head["offset"]
            return gateway.seal(header, frame.MODEL, bytes(buffer) + self.hands_out[at : at + self.piece])
        else:
            self.results.append(part)
        return gateway.ack(header, payload)
