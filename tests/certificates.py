"""An authority of a test's own, and certificates that it has signed, made by openssl."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Certificates:
    """PEM files in a folder: ca.pem, and <name>.pem with <name>.key for each that was signed."""

    folder: Path

    @classmethod
    def made_in(cls, folder: Path) -> "Certificates":
        """A new authority. Skips the test where openssl is missing."""
        if shutil.which("openssl") is None:
            pytest.skip("openssl is not installed")
        folder.mkdir(parents=True)
        made = cls(folder)
        made._openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                      "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem")  # fmt: skip
        return made

    def sign(self, name: str, password: str = "") -> None:
        """A certificate for 127.0.0.1; the key is encrypted where a password is given."""
        (self.folder / "san").write_text("subjectAltName=IP:127.0.0.1")
        lock = ["-passout", f"pass:{password}"] if password else ["-nodes"]
        self._openssl("req", "-newkey", "rsa:2048", *lock, "-subj", f"/CN={name}",
                      "-keyout", f"{name}.key", "-out", f"{name}.csr")  # fmt: skip
        self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                      "-CAcreateserial", "-days", "2", "-extfile", "san",
                      "-out", f"{name}.pem")  # fmt: skip

    def path(self, name: str) -> Path:
        """One of the files."""
        return self.folder / name

    def key_and_certificate(self, name: str) -> Path:
        """Both in one file, as Kafka's PEM key store wants them."""
        both = self.folder / f"{name}.both.pem"
        both.write_text(self.path(f"{name}.key").read_text() + self.path(f"{name}.pem").read_text())
        return both

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)
