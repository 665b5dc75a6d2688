"""The encrypted broker: own authority, the gateway's certificate, and what is said when something about them is wrong."""

import datetime
import ipaddress
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from gateway_brokers import wait_for

from fieldelm_gateway import config, tls
from fieldelm_gateway.errors import ConfigError


class Authority:
    """Signs certificates."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._sign(self.subject, self.key, x509.BasicConstraints(ca=True, path_length=0))
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def _sign(self, subject, key, constraints, *more):
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(constraints, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        for extension in more:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, name, address="127.0.0.1"):
        """Files of a certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        certificate = self._sign(subject, key, x509.BasicConstraints(ca=False, path_length=None), names)
        files = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        private = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        files[1].write_bytes(key.private_bytes(*private))
        return files


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path, "authority")


def _encrypt(world, authority, *more, address="127.0.0.1"):
    certificate, key = authority.issue("broker", address)
    world.broker.lines += [f"cafile {authority.file}", f"certfile {certificate}", f"keyfile {key}", *more]
    world.broker.start()
    return world.broker.url.replace("mqtt:", "mqtts:")


def test_events_go_through_an_encrypted_connection(world, authority):
    url = _encrypt(world, authority)
    world.write_config(f'ca_file = "{authority.file}"', url=url)
    node = world.node()
    world.start_gateway()
    for _ in range(50):
        world.modem.exchange(node.alert())
    wait_for(lambda: "connected to mqtts://" in world.gateway.said())
    from test_mqtt import _outbox

    wait_for(lambda: _outbox(world) == 0)


def test_a_broker_that_asks_for_a_certificate(world, authority):
    url = _encrypt(world, authority, "require_certificate true", "use_identity_as_username true")
    world.write_config(f'ca_file = "{authority.file}"', url=url)
    world.start_gateway()
    wait_for(lambda: "cert_file" in world.gateway.said())
    assert "Traceback" not in world.gateway.said()
    world.gateway.stop()
    certificate, key = authority.issue("gateway")
    world.write_config(f'ca_file = "{authority.file}"', f'cert_file = "{certificate}"', f'key_file = "{key}"', url=url)
    world.start_gateway()
    wait_for(lambda: "connected to mqtts://" in world.gateway.said())


def test_a_stranger_s_certificate_and_another_host_s_are_not_trusted(world, authority):
    url = _encrypt(world, authority, address="127.0.0.9")
    world.write_config(f'ca_file = "{authority.file}"', url=url)
    world.start_gateway()
    wait_for(lambda: "cannot be trusted" in world.gateway.said())
    world.gateway.stop()
    world.gateway.log.write_text("")
    stranger = Authority(world.folder, "stranger")
    world.write_config(f'ca_file = "{stranger.file}"', url=url)
    world.start_gateway()
    wait_for(lambda: "cannot be trusted" in world.gateway.said())
    assert world.gateway.said().count("cannot be trusted") == 1


def test_a_port_that_is_not_encrypted(world, authority):
    world.broker.start()
    world.write_config(f'ca_file = "{authority.file}"', url=world.broker.url.replace("mqtt:", "mqtts:"))
    world.start_gateway()
    wait_for(lambda: "TLS" in world.gateway.said() or "hung up" in world.gateway.said())
    assert "Traceback" not in world.gateway.said()


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        ('url = "mqtts://x"\ncert_file = "a"', "belong together"),
        ('url = "mqtt://x"\nca_file = "a"', "mqtts://"),
    ],
)
def test_settings_that_do_not_fit_together(lines, word):
    with pytest.raises(ConfigError, match=word):
        config.read(f"[mqtt]\n{lines}\n", "here")


def test_files_that_are_no_certificates(tmp_path, authority):
    text = tmp_path / "text"
    text.write_text("words")
    for values, word in (
        ({"ca_file": str(text)}, "ca_file"),
        ({"ca_file": str(tmp_path / "none")}, "ca_file"),
        ({"cert_file": str(text), "key_file": str(text)}, "cert_file"),
    ):
        with pytest.raises(ConfigError, match=word):
            tls.context(config.Mqtt(url="mqtts://x", **values))
    assert tls.context(config.Mqtt(url="mqtts://x", ca_file=str(authority.file))).verify_mode is ssl.CERT_REQUIRED
