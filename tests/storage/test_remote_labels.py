"""Are labels at http:// and s3:// addresses those that were written, and is only what is asked for transferred?"""

import re

import numpy as np
import pytest
from label_stores import LABELS, STORES, ome, zarr_array
from remote_servers import GoogleStorage, http_server, s3_server, upload

from inner_distance_gpu import open_labels
from inner_distance_gpu.storage import addresses

pytest.importorskip("worldarray", reason="worldarray is not installed (extra 'volumes')")
REMOTE = [store for store in STORES if store.remote]


def check(store, labels):
    assert (labels.shape, labels.dtype, labels.axes) == (store.values.shape, store.values.dtype, store.axes)
    assert labels.voxel_size == store.voxel_size
    assert (labels.unit, labels.translation) == (store.unit, store.translation)
    np.testing.assert_array_equal(labels.read((0, 0, 0), labels.shape), store.values)


def check_a_part(store, labels, server):
    """Reads one chunk, which is less than 1 % of the labels, and counts what the server sends for it."""
    before, chunk = server.sent, labels.chunk
    part = labels.read(chunk, [2 * n for n in chunk])
    assert server.sent - before <= 20_000 + 0.05 * store.values.nbytes
    np.testing.assert_array_equal(part, store.values[tuple(slice(n, 2 * n) for n in chunk)])


@pytest.mark.parametrize("store", REMOTE, ids=lambda store: store.name)
def test_http(tmp_path, store):
    name = store.write(tmp_path).name
    with http_server(tmp_path) as (server, address):
        labels = open_labels(f"{address}/{name}", store.key)
        check(store, labels)
        check_a_part(store, labels, server)


def test_http_says_what_is_not_there(tmp_path):
    zarr_array(tmp_path / "z.zarr")
    with http_server(tmp_path) as (_, address):
        with pytest.raises(FileNotFoundError, match=f"^{address}/other.zarr: no such file or store"):
            open_labels(f"{address}/other.zarr")
        labels = open_labels(f"{address}/z.zarr")
        (tmp_path / "z.zarr" / "1.1.1").write_bytes(b"?")
        with pytest.raises(ValueError, match=rf"^{address}/z.zarr: cannot read it .*1\.1\.1"):
            labels.read((0, 0, 0), labels.shape)
        (tmp_path / "z.zarr" / "1.1.1").unlink()
        assert labels.missing((0, 0, 0), labels.shape) == [((16, 32, 32), (32, 64, 64))]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        *((f"{scheme}:///folder/labels.zarr", "names no bucket; expected") for scheme in ("gs", "s3")),
        ("https:///labels.zarr", "names no host"),
        ("precomputed://gs:///labels", "names no bucket"),
        ("ftp://host/labels.zarr", "cannot read ftp:// addresses; expected one of s3, gs, http, https"),
        *((f"http://127.0.0.1:1/l.{suffix}", "cannot read a single file") for suffix in ("npy", "tif", "h5", "nii.gz")),
        ("s3://bucket/labels.zarr.zip", "cannot read a single file at an address, only Zarr, N5 and precomputed"),
    ],
)
def test_addresses_that_no_store_has(call, tmp_path, address, said):
    with pytest.raises(ValueError, match=rf"^{re.escape(address)}: {re.escape(said)}"):
        open_labels(address)
    code, _, error = call("run", address, tmp_path / "t.npy", "--scale", "50")
    assert code == 2
    assert f"{address}: {said}" in error.replace("\n", "")


@pytest.mark.parametrize("acl", ["public-read", "private"])
def test_s3(tmp_path, monkeypatch, acl):
    """By moto, an S3 that is not of our making: with credentials where they are needed."""
    pytest.importorskip("moto", reason="moto is not installed (extra 'test')")
    stores = [store for store in REMOTE if store.name in ("ome-shards", "n5")]
    for store in stores:
        (tmp_path / store.name).mkdir()
        store.write(tmp_path / store.name)
    with s3_server(monkeypatch) as client:
        upload(client, acl, tmp_path, acl)
        if acl == "public-read":
            without_credentials(monkeypatch, tmp_path)
        for store in stores:
            name = next((tmp_path / store.name).iterdir()).name
            check(store, open_labels(f"s3://{acl}/{store.name}/{name}", store.key))
        with pytest.raises(FileNotFoundError, match=rf"^s3://{acl}/nothing\.zarr: no such file or store"):
            open_labels(f"s3://{acl}/nothing.zarr")


def without_credentials(monkeypatch, home):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(addresses, "_VENDOR", home / "none")


@pytest.mark.parametrize("refusal", [None, 403, 404])
def test_buckets(tmp_path, monkeypatch, refusal):
    """Public ones, and private ones, of which S3 tells who may not list them that nothing is there.

    moto always lets them list, and counts no bytes, so this server stands for S3.
    """
    bucket = f"bucket{refusal}"
    places = {}
    for store in REMOTE if refusal != 404 else REMOTE[:1]:
        (tmp_path / bucket / store.name).mkdir(parents=True)
        places[store.name] = store, store.write(tmp_path / bucket / store.name).name
    with http_server(tmp_path, refusal) as (server, address):
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        for folder, (store, name) in places.items():
            labels = open_labels(f"s3://{bucket}/{folder}/{name}", store.key)
            check(store, labels)
            check_a_part(store, labels, server)
        with pytest.raises(FileNotFoundError, match=rf"^s3://{bucket}/other\.zarr: no such file or store"):
            open_labels(f"s3://{bucket}/other.zarr")
        if refusal == 404:
            without_credentials(monkeypatch, tmp_path)
            with pytest.raises(FileNotFoundError, match=r"l\.zarr: .*or it is private, and there are no credentials"):
                open_labels("s3://another/l.zarr")


def test_google_storage(tmp_path, monkeypatch):
    """No emulator is known to the libraries here, so this server speaks what is needed of Google's interface."""
    for store in REMOTE:
        (tmp_path / "volumes" / store.name).mkdir(parents=True)
        store.write(tmp_path / "volumes" / store.name)
    with http_server(tmp_path, kind=GoogleStorage) as (server, address):
        monkeypatch.setenv("TENSORSTORE_GCS_HTTP_URL", address)
        monkeypatch.setenv("GCE_METADATA_ROOT", "metadata.google.internal.invalid")
        for store in REMOTE:
            name = next((tmp_path / "volumes" / store.name).iterdir()).name
            labels = open_labels(f"gs://volumes/{store.name}/{name}", store.key)
            check(store, labels)
            check_a_part(store, labels, server)
        with pytest.raises(FileNotFoundError, match=r"^gs://volumes/nothing\.zarr: no such file or store"):
            open_labels("gs://volumes/nothing.zarr")
        (tmp_path / "volumes" / "zarr2" / "z.zarr" / "1.1.1").write_bytes(b"?")
        labels = open_labels("gs://volumes/zarr2/z.zarr")
        with pytest.raises(ValueError, match=r"^gs://volumes/zarr2/z\.zarr: cannot read it .*1\.1\.1"):
            labels.read((0, 0, 0), labels.shape)


@pytest.mark.parametrize("scheme", ["gs", "s3"])
def test_an_address_without_a_bucket(scheme):
    with pytest.raises(ValueError, match=rf"^{scheme}:///labels\.zarr: names no bucket"):
        open_labels(f"{scheme}:///labels.zarr")


def test_run_reads_an_address(call, tmp_path):
    ome(tmp_path / "labels.zarr")
    with http_server(tmp_path) as (_, address):
        code, out, error = call("run", f"{address}/labels.zarr", tmp_path / "t.npy", "--scale", "50")
        assert code == 0, error
        assert f"{address}/labels.zarr: uint32 {LABELS.shape}" in out.replace("\n", "")
        assert call("run", tmp_path / "labels.zarr", tmp_path / "u.npy", "--scale", "50")[0] == 0
    np.testing.assert_array_equal(np.load(tmp_path / "t.npy"), np.load(tmp_path / "u.npy"))
