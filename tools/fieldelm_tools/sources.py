"""Source packages from the Debian archive, without root and without touching the machine's own package lists.

`micropython()` gives a MicroPython source tree in build/ (headers and linker of native modules, the Unix port), or the
checkout that MPY_DIR names. `add_mbedtls(tree)` puts Mbed TLS into it, which the Unix port and the firmware need for AES;
`add_pico_libraries(tree)` what the firmware needs besides. Standard library only.
"""

import dataclasses
import hashlib
import os
import shlex
import shutil
import subprocess
import tarfile
from pathlib import Path

from .environment import build_directory
from .errors import SetupError

SUITE = "trixie"
KEYRINGS = ("/usr/share/keyrings/debian-archive-keyring.pgp", "/usr/share/keyrings/debian-archive-keyring.gpg")


@dataclasses.dataclass(frozen=True)
class Source:
    """One pinned source package."""

    package: str
    version: str
    """in Debian; empty takes what the archive has of the series: security updates replace their predecessors there"""
    series: str
    """how the name of the upstream archive begins"""
    sha256: dict[str, str]
    """of the upstream archives that were tried; one that is not listed must be of the series and signed for"""
    binary: str = ""
    """where set, the source code comes as a binary package, in this folder of it"""


MICROPYTHON = Source(
    package="micropython",
    version="1.25.0+ds-1",
    series="micropython_1.25.0+ds.orig.",
    sha256={"micropython_1.25.0+ds.orig.tar.xz": "7b25be99a502f070b2de81dafc08da7051d992325d6e67daa9045a918fffdbea"},
)
MBEDTLS = Source(
    package="mbedtls",
    version="",
    series="mbedtls_3.6.",
    sha256={"mbedtls_3.6.6.orig.tar.bz2": "8fb65fae8dcae5840f793c0a334860a411f884cc537ea290ce1c52bb64ca007a"},
)
PICO_SDK = Source(
    package="pico-sdk-source",
    version="2.1.1-1",
    series="pico-sdk-source_2.1.1-1_",
    sha256={"pico-sdk-source_2.1.1-1_all.deb": "507a3ca37636641bc90239d7c04dc9dc28c5008087a8162102ea94d2273153d3"},
    binary="usr/src/pico-sdk",
)
TINYUSB = Source(
    package="tinyusb-source",
    version="0.18.0+dfsg-1",
    series="tinyusb-source_0.18.0+dfsg-1_",
    sha256={"tinyusb-source_0.18.0+dfsg-1_all.deb": "01ce2c645df68f14a8a7dcfc8fb355713152543757955820479a87949a61154e"},
    binary="usr/src/tinyusb",
)
MICROPYTHON_TAG = "v1.25.0"


def checkout() -> Path | None:
    """The MicroPython checkout that MPY_DIR names, or None."""
    given = os.environ.get("MPY_DIR")
    if not given:
        return None
    tree = Path(given).expanduser().resolve()
    if not (tree / "py" / "dynruntime.mk").is_file():
        raise SetupError(f"MPY_DIR={given} is no MicroPython checkout (no py/dynruntime.mk): correct it or unset it")
    return tree


def micropython() -> Path:
    """A MicroPython source tree, fetched and unpacked when it is not there yet."""
    given = checkout()
    if given:
        return given
    return unpacked(MICROPYTHON, build_directory() / "micropython")


def add_mbedtls(tree: Path) -> None:
    """Put Mbed TLS where the MicroPython tree expects it."""
    target = tree / "lib" / "mbedtls"
    if not (target / "library" / "aes.c").is_file():
        unpacked(MBEDTLS, target)


def add_pico_libraries(tree: Path) -> None:
    """Put Mbed TLS, the Pico's SDK and TinyUSB where the MicroPython tree expects them."""
    add_mbedtls(tree)
    unpacked(PICO_SDK, tree / "lib" / "pico-sdk")
    unpacked(TINYUSB, tree / "lib" / "tinyusb")


def unpacked(source: Source, target: Path) -> Path:
    """Fetch, verify and unpack a source package into the folder `target`, unless it is there."""
    stamp = target / ".unpacked"
    if stamp.is_file() and stamp.read_text(encoding="utf-8").startswith(source.series):
        return target
    archive = fetched(source)
    fresh = target.with_name(target.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    # verified by its hash or by the archive's signature
    if source.binary:
        run(["dpkg-deb", "--extract", str(archive), str(fresh)], archive.parent)
        top = fresh / source.binary
    else:
        with tarfile.open(archive) as tar:
            if hasattr(tarfile, "data_filter"):
                tar.extraction_filter = tarfile.data_filter
            tar.extractall(fresh)  # noqa: S202
        (top,) = fresh.iterdir()
    (top / ".unpacked").write_text(archive.name + "\n", encoding="utf-8")
    shutil.rmtree(target, ignore_errors=True)
    top.rename(target)
    shutil.rmtree(fresh)
    return target


def fetched(source: Source) -> Path:
    """The verified upstream archive of a source package, in build/downloads."""
    downloads = build_directory() / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    for archive in sorted(downloads.glob(source.series + "*")):
        if archive.name in source.sha256 and digest(archive) == source.sha256[archive.name]:
            return archive
    if not shutil.which("apt-get"):
        raise SetupError(f"no apt-get to fetch {source.package} with: set MPY_DIR to a MicroPython checkout")
    print(f"setup: fetching the source of {source.package} from the Debian archive", flush=True)
    reasons = ["no Debian archive is configured"]
    for mirror in mirrors():
        try:
            download(source, mirror, downloads)
        except SetupError as error:
            reasons.append(str(error))
            continue
        for archive in sorted(downloads.glob(source.series + "*"), reverse=True):
            expected = source.sha256.get(archive.name)
            if expected is None and not source.version:
                return archive  # newer than the pin, and signed: apt-get has checked it
            if digest(archive) == expected:
                return archive
            archive.unlink()
            reasons.append(f"{archive.name} has another SHA-256 than the pinned one")
    raise SetupError(
        f"the source of {source.package} could not be fetched ({reasons[-1]}): set DEBIAN_MIRROR to the address of a "
        "Debian archive, or MPY_DIR to a MicroPython checkout, and run `make setup`"
    )


def download(source: Source, mirror: str, downloads: Path) -> None:
    """Fetch the archive of a source package with apt-get, with package lists of its own."""
    kind = "deb" if source.binary else "deb-src"
    state = downloads / ("apt-binary" if source.binary else "apt")
    (state / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (state / "parts").mkdir(exist_ok=True)
    keyring = next((f"Signed-By: {path}\n" for path in KEYRINGS if Path(path).is_file()), "")
    listing = state / "debian.sources"
    text = f"Types: {kind}\nURIs: {mirror}\nSuites: {SUITE}\nComponents: main\n{keyring}"
    listing.write_text(text, encoding="utf-8")
    options = {
        "Dir::State::Lists": state / "lists",
        "Dir::Etc::SourceList": listing,
        "Dir::Etc::SourceParts": state / "parts",
        "Dir::Cache": state,
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Acquire::Retries": 3,
    }
    apt = ["apt-get", "-qq", *[word for key, value in options.items() for word in ("-o", f"{key}={value}")]]
    name = f"{source.package}={source.version}" if source.version else f"{source.package}/{SUITE}"
    fetch = ["download"] if source.binary else ["source", "--download-only", "--tar-only"]
    run([*apt, "update"], downloads)
    run([*apt, *fetch, name], downloads)


def mirrors() -> list[str]:
    """Debian archives, likeliest first: the one that DEBIAN_MIRROR names, else those that this machine's apt uses."""
    given = os.environ.get("DEBIAN_MIRROR")
    if given:
        return [given]
    listing = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN)"]
    done = subprocess.run(listing, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    found = sorted({tuple(line.partition(" ")[::2]) for line in done.stdout.splitlines()})
    own = [uri for uri, origin in found if origin == "Debian" and "security" not in uri]
    alike = [uri for uri, origin in found if origin != "Debian" and uri.rstrip("/").endswith("/debian")]
    return list(dict.fromkeys([*own, *alike]))


def run(command: list[str], folder: Path | None = None) -> str:
    """Run a command and return what it printed; its last line of complaint becomes the error."""
    done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        complaint = [line for line in done.stderr.splitlines() if line.strip()] or [shlex.join(command)]
        raise SetupError(next((line for line in complaint if line.startswith("E:")), complaint[-1]))
    return done.stdout


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
