"""What every verb prints as JSON meets the schema of its kind: schema_test.py ASR PAGE-BLOB-SERVER

The schemas in schemas/ are what scripts may rely on: no key is missing, none is unknown. Every verb is run at least once.
"""

import contextlib
import http.server
import json
import os
import pathlib
import random
import re
import struct
import subprocess
import sys
import tempfile
import threading
import time

import jsonschema

SCHEMAS = pathlib.Path(__file__).parent / "schemas"
STORE = {path.name: json.loads(path.read_text()) for path in SCHEMAS.glob("*.json")}
# These print no values.
WITHOUT_JSON = {"completion"}


def check(value, schema, what):
    resolver = jsonschema.RefResolver("", STORE[f"{schema}.json"], store=STORE)
    validator = jsonschema.Draft202012Validator(STORE[f"{schema}.json"], resolver=resolver)
    errors = [f"{what}: {error.json_path}: {error.message}" for error in validator.iter_errors(value)]
    assert not errors, "\n".join(errors)


class Asr:
    def __init__(self, program, directory):
        self.program, self.directory = program, directory
        self.seen = set()
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("ASR_")}
        self.environment["ASR_STATE_DIR"] = f"{directory}/state"

    def call(self, words):
        return subprocess.run([self.program, *words], cwd=self.directory, env=self.environment, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, check=False)

    def run(self, line, schema, code=0, beside=None):
        """Runs `line`, whose stdout must meet `schema`; `beside` is the schema of stderr."""
        words = [*line.split(), "-o", "json"]
        self.seen.update({line.split()[0], " ".join(line.split()[:2])})
        done = self.call(words)
        assert done.returncode == code, f"{line}: exit code {done.returncode}, not {code}: {done.stderr}"
        value = None
        if schema:
            value = json.loads(done.stdout)
            check(value, schema, line)
        else:
            assert done.stdout == "", f"{line}: printed {done.stdout}"
        if beside:
            check(json.loads(done.stderr.splitlines()[-1]), beside, f"{line}, stderr")
        return value

    def verbs(self):
        """All verbs that help names."""
        found = re.findall(r"^  ([a-z][a-z-]*(?: [a-z][a-z-]*)?)  +[A-Z]", self.call(["--help"]).stdout, re.M)
        assert len(found) > 40, found
        return found


def make_vm(directory):
    """A disk of 2 MiB that boots: its first sector writes "up" to the first serial port, and halts."""
    disk = directory / "vms" / "web" / "root.raw"
    disk.parent.mkdir(parents=True)
    code = bytes.fromhex("fa31c08ed8fcbe177cbaf803ac84c07403eeebf8f4ebfd") + b"up\n"
    sector = code.ljust(510, b"\0") + b"\x55\xaa"
    disk.write_bytes(sector + random.Random(1).randbytes((1 << 20) - 512) + bytes(1 << 20))
    (disk.parent / "vm.json").write_text('{"memory": "64MiB"}')
    return disk


def check_agent(asr):
    """An agent that runs for a moment; the line that it ends with is the log's."""
    words = [asr.program, "agent", "run", "--log", "json"]
    with subprocess.Popen(words, cwd=asr.directory, env=asr.environment, stdin=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True) as agent:
        lines = [json.loads(agent.stderr.readline())]
        try:
            status = asr.run("agent status", "agent")
            while not status["items"]:
                time.sleep(0.1)
                status = asr.run("agent status", "agent")
            assert status["running"] and status["pid"] == agent.pid
        finally:
            agent.terminate()
        lines += [json.loads(line) for line in agent.stderr]
    assert agent.returncode == 0
    assert all(list(line) == ["time", "level", "vault", "vm", "message"] for line in lines), lines
    asr.seen.add("agent run")


def make_secret(file, text):
    file.touch(mode=0o600)
    file.write_text(text)


def make_change_log(file):
    """A closed log without entries: asr-hrl(5)."""
    def checksum(part):
        return ~sum(part) & 0xFFFFFFFF

    block = bytearray(4096)
    struct.pack_into("<I", block, 12, checksum(block[:32]))
    header = bytearray(4096)
    struct.pack_into("<8sII4sI", header, 0, b"msctlog ", 0x00020000, 0, b"asr ", 0)
    struct.pack_into("<QQI", header, 24, 8192, 8192, 0)
    struct.pack_into("<Q", header, 44, 8192)
    struct.pack_into("<I16s", header, 56, 4096, bytes(range(16)))
    struct.pack_into("<I", header, 40, checksum(header))
    file.write_bytes(header + block)


class MetadataService(http.server.BaseHTTPRequestHandler):
    """Gives a token to whoever asks, as the metadata service of a machine on Azure."""

    def do_GET(self):
        body = json.dumps({"access_token": "token", "expires_in": "3600", "token_type": "Bearer"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def metadata_service():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), MetadataService) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


@contextlib.contextmanager
def page_blob_server(program):
    with subprocess.Popen([program], stdout=subprocess.PIPE, text=True) as server:
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def on_azure(asr, server):
    with metadata_service() as url:
        asr.environment["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = url
        asr.run("login --identity --name machine", "login")
    asr.run("credential remove machine --yes", None)
    with page_blob_server(server) as url:
        key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
        make_secret(pathlib.Path(asr.directory) / "key", key)
        asr.run("credential add key --account devstoreaccount1 --key-file key", "credential")
        asr.run(f"vault create far --target {url}/vault --credential key", "vault")
        asr.run("vault show far", "vault-show")
        asr.run("credential share --vault far --output-file shared.sas", "credential-share")
        shown = asr.run("credential share --vault far --show --ip 192.0.2.7 --for 8h", "credential-share")
        assert shown["sas"] and shown["ipRange"], shown
        asr.run("vault delete far --yes", None)
    asr.run("credential remove key --yes", None)


def set_up(asr):
    asr.run("--version", "version")
    asr.run("vault list", "vaults")
    asr.run("vault create main --target vault", "vault")
    asr.run("vault connect main --target vault", "vault")
    asr.run("vault use main", "vault")
    asr.run("vault list", "vaults")
    asr.run("host list", "hosts")
    asr.run("host add lab --kind folder --path vms", "host")
    asr.run("host show lab", "host")
    asr.run("host list", "hosts")
    asr.run("credential list", "credentials")
    asr.run("credential add azure --managed-identity --dry-run", "plan")
    asr.run("credential add azure --managed-identity", "credential")
    asr.run("credential add azure --azure-cli", None, code=4, beside="error")
    make_secret(pathlib.Path(asr.directory) / "sas", "sv=2023-11-03&se=2199-01-01&sr=c&sp=rl&sig=c2VjcmV0")
    credential = asr.run("credential add shared --sas-file sas --account contoso", "credential")
    assert credential["expiresAt"] == "2199-01-01T00:00:00.000Z", credential
    assert [credential["name"] for credential in asr.run("credential list", "credentials")] == ["azure", "shared"]
    asr.run("credential remove azure", None, code=2, beside="error")
    asr.run("credential remove azure --dry-run", "plan")
    asr.run("credential remove azure --yes", None)
    asr.run("credential remove azure --yes", None, code=3, beside="error")
    asr.run("login --dry-run", "plan")
    asr.run("login --service-principal", None, code=2, beside="error")
    asr.run("credential share --output-file shared.sas --dry-run", None, code=4, beside="error")
    asr.run("credential share --show", None, code=4, beside="error")
    asr.run("vm list", "vms")
    asr.run("vm show web", "vm")
    asr.run("policy list", "policies")
    asr.run("policy set gold --dry-run", "plan")
    asr.run("policy set gold", "policy")
    asr.run("policy show gold", "policy")
    asr.run("policy list", "policies")
    asr.run("config set output json", "setting")
    asr.run("config get output", "setting")
    asr.run("config list", "settings")
    asr.run("throttle show", "throttle")
    asr.run("throttle set --work-mbps 50 --other-mbps none --dry-run", "plan")
    asr.run("throttle set --work-mbps 0", None, code=2, beside="error")
    asr.run("throttle set --work-mbps 5000 --work-days mon,sat-sun", "throttle")
    asr.run("throttle clear", "throttle")
    asr.run("config set output table", "setting")


def protect(asr, disk):
    asr.run("items list", "items")
    asr.run("check web --policy gold", "check")
    asr.run("enable web --policy gold --dry-run", "plan")
    asr.run("enable web --policy gold", "job")
    asr.run("enable web --policy gold", None, code=4, beside="error")
    asr.run("replicate web", "replicate")
    with disk.open("r+b") as file:
        file.seek(1 << 20)
        file.write(b"changed")
    asr.run("replicate web", "replicate")
    asr.run("resync web --dry-run", "plan")
    asr.run("resync web", "item")
    asr.run("resync web --now --deep", "job")
    asr.run("pause web --dry-run", "plan")
    asr.run("pause web", "item")
    assert asr.run("items show web", "item")["pausedSince"]
    asr.run("resume web", "item")
    asr.run("agent install --dry-run", "agent-unit")
    asr.run("agent install --unit-dir .", "agent-unit")
    check_agent(asr)
    asr.run("items list", "items")
    asr.run("items show web", "item")
    asr.run("wait web --state Protected --timeout 10s", "item")
    asr.run("wait web --state Unprotected --timeout 1s", None, code=1, beside="error")


def recover(asr):
    points = asr.run("points list web", "points")
    assert len(points) > 1
    oldest = points[-1]["id"]
    asr.run(f"points show web {oldest}", "point")
    asr.run(f"points verify web {oldest}", "job")
    assert asr.run(f"points show web {oldest}", "point")["proof"]["verifiedAt"]
    asr.run(f"points hold web {oldest}", "point")
    pins = asr.run("points pins web", "pins")
    assert [pin["point"] for pin in pins] == [oldest], pins
    asr.run(f"points unpin web {pins[0]['id']} --dry-run", "plan")
    asr.run(f"points unpin web {pins[0]['id']}", None, code=2, beside="error")
    asr.run(f"points unpin web {pins[0]['id']} --yes", None)
    asr.run(f"points unpin web {pins[0]['id']} --yes", None, code=3, beside="error")
    asr.run(f"points release web {oldest}", "point")
    asr.run("points prune web --dry-run", "plan")
    asr.run("points prune web --yes", "job")
    asr.run("restore web --to restored --dry-run", "plan")
    asr.run("restore web --to restored", "job")
    asr.run("disk show restored/root.raw", "disk")
    asr.run("vault rollback web --dry-run", "plan")
    asr.run("vault rollback web --yes", "job")
    asr.run("items update web --cpus 2 --network isolated", "item")
    asr.run("test-failover web --dry-run", "plan")
    asr.run("test-failover web --serial-text never --wait-seconds 1", "test-failover", code=1, beside="error")
    asr.run("test-failover-cleanup web", None, code=4, beside="error")
    try:
        guest = asr.run("test-failover web --serial-text up --auto-cleanup-after 1h", "test-failover")["guest"]
        assert guest["signOfLife"] and guest["processId"] and guest["cleanupAt"], guest
        assert asr.run("items show web", "item")["testFailover"]["guestRunning"]
        asr.run("status", "status")
        asr.run("test-failover web", None, code=4, beside="error")
    finally:
        asr.run("test-failover-cleanup web --notes tried", "job")
    proof = asr.run("points show web", "point")["proof"]
    assert proof["booted"] and proof["notes"] == "tried" and proof["screenshot"], proof


def look(asr, directory):
    asr.run("vault show main", "vault-show")
    asr.run("vault check main", "vault-check")
    asr.run("status", "status")
    asr.run("doctor", "doctor")
    make_change_log(directory / "log.hrl")
    asr.run("hrl show log.hrl", "hrl")
    asr.run("hrl verify log.hrl", "hrl")
    asr.run("events list --severity Warning", "events")
    jobs = asr.run("jobs list", "jobs")
    done = next(job for job in jobs if job["state"] == "Succeeded")
    failed = next(job for job in jobs if job["state"] == "Failed")
    asr.run(f"jobs show {failed['id']}", "job")
    asr.run(f"jobs watch {done['id']}", "job")
    asr.run(f"jobs cancel {done['id']}", None, code=4, beside="error")
    asr.run(f"jobs retry {done['id']}", None, code=4, beside="error")
    asr.run(f"jobs resume {done['id']}", None, code=4, beside="error")
    document, = (directory / "vault").glob("items/*/item.json")
    document.write_text("{}")
    asr.run("vault check main", "vault-check", code=1, beside="error")


def take_down(asr, document, text):
    document.write_text(text)
    asr.run("disable web --keep-data --yes", "job")
    asr.run("status", "status")
    asr.run("items delete web --yes", "job")
    asr.run("items list", "items")
    asr.run("items show web", None, code=3, beside="error")
    asr.run("policy delete gold", None)
    asr.run("host remove lab", None)
    asr.run("vault disconnect main", None)
    asr.run("vault connect main --target vault", "vault")
    asr.run("vault delete main --yes", None)
    asr.run("vault show main", None, code=3, beside="error")
    asr.run("frobnicate", None, code=2, beside="error")


def main(program, server):
    with tempfile.TemporaryDirectory(prefix="asr-schema.") as scratch:
        directory = pathlib.Path(scratch)
        asr = Asr(program, scratch)
        disk = make_vm(directory)
        set_up(asr)
        on_azure(asr, server)
        protect(asr, disk)
        recover(asr)
        document, = (directory / "vault").glob("items/*/item.json")
        text = document.read_text()
        look(asr, directory)
        take_down(asr, document, text)
        missed = [verb for verb in asr.verbs() if verb not in asr.seen and verb not in WITHOUT_JSON]
        assert not missed, f"verbs whose output no schema was held against: {missed}"


main(os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]))
