"""Which ways through a kernel a launch takes, and which ways each kernel has: the rows of the detector's report."""

import ctypes

import cuda_records

from inner_distance_gpu.engines.cuda import compiler

WIDTHS = (1, 2, 4, 8)
ANY = "any"
FLOATING = 2  # and above: Kind in labels.hpp

_ALWAYS = ("leading axes", "several tasks a block")
_FINISH = ("weights", "no weights", "mask", "border", "times label", "signed", "unannotated", "site", "no site")
_LABELS = tuple(f"labels of {width} B" for width in WIDTHS)
_MASKS = ("no mask", "integer mask", "float mask", *(f"masks of {width} B" for width in WIDTHS))
_SLABS = ("one slab", "several slabs")
_SCAN = ("counts", "no counts", "unannotated", "segments in scratch", "segments in shared memory", "several segments")
REQUIRED = {
    "classify": (*_ALWAYS, "unannotated", "one group of classes", "several groups of classes"),
    "scan": (*_ALWAYS, *_SCAN, "all swept", "single labels"),
    "plane": (*_ALWAYS, *_FINISH),
    "pairs": (*_ALWAYS, *_FINISH, *_MASKS[1:]),
    "mark": (*_ALWAYS, "unannotated"),
    "sample": (*_FINISH, *_LABELS, *_MASKS[1:], "several tasks a block"),
    "count": (*_LABELS, *_MASKS, *_SLABS, "several parts", "unannotated", "several tasks a block"),
    "settle": (*_SLABS, "several parts", "sums", "no sums", "several tasks a block"),
    "weigh": (*_LABELS, *_MASKS, *_SLABS, "unannotated", "several tasks a block"),
}


def base(kernel):
    """The name of a kernel without namespace and types."""
    return kernel.name.removeprefix("half_grid::").partition("<")[0]


def required():
    """Every pair of an instance of a kernel and a way through it."""
    for kernel in compiler.every_kernel():
        for path in REQUIRED[base(kernel)]:
            yield kernel, path
        if base(kernel) in ("mark", "sample", "count", "weigh"):
            yield kernel, "classes"
        if base(kernel) == "scan" and "<unsigned char" in kernel.name:
            yield kernel, "four labels at once"


def table(launcher):
    """The report: for each kernel all its launches and accesses, then those on each of its ways."""
    lines = []
    for kernel in compiler.every_kernel():
        launches, accesses = launcher.launches[kernel, ANY], launcher.accesses[kernel, ANY]
        ways = sorted((path, times) for (of, path), times in launcher.launches.items() if of == kernel and path != ANY)
        lines.append(f"- `{kernel.name}`: {launches} launches, {accesses} accesses")
        lines += [f"    - {path}: {times}" for path, times in ways]
    total = sum(accesses for (_, path), accesses in launcher.accesses.items() if path == ANY)
    lines.append(f"- {total} accesses, {len(launcher.findings)} findings")
    return "\n".join(lines)


def of(launch, record, grid):
    """The ways of one launch, after it."""
    name = base(launch.kernel)
    if isinstance(record, cuda_records.Weighing):
        found = _of_weights(name, launch, record, grid)
    else:
        doubled = record if isinstance(record, cuda_records.Doubled) else None
        found = _of_job(name, launch, record if doubled is None else doubled.job, doubled, grid)
    return {ANY, *(path for path, taken in found.items() if taken)}


def _mask(meaning, given):
    return {
        "no mask": not given,
        "integer mask": given and meaning.kind < FLOATING,
        "float mask": given and meaning.kind >= FLOATING,
        f"masks of {meaning.width} B": given,
    }


def _may_miss(meaning):
    return bool(meaning.has_ignored or meaning.kind >= FLOATING)


def _of_weights(name, launch, w, grid):
    voxels = 1
    for n in w.shape:
        voxels *= n
    tasks = {"count": w.slabs * w.parts, "settle": w.slabs, "weigh": -(-voxels // launch.block[0])}[name]
    return {
        f"labels of {w.label.width} B": True,
        **_mask(w.mask_value, bool(w.mask)),
        "one slab": w.slabs == 1,
        "several slabs": w.slabs > 1,
        "several parts": w.parts > 1,
        "unannotated": _may_miss(w.label),
        "sums": bool(w.sums),
        "no sums": not w.sums,
        "several tasks a block": grid < tasks,
        "classes": bool(w.inside),
    }


def _of_job(name, launch, job, doubled, grid):
    nz, ny, nx = job.n
    planes, chunks = job.volumes * nz, -(-ny // cuda_records.ROWS_PER_CHUNK)
    rows = planes * ny // max(job.table.classes, 1)
    tasks = {
        "classify": -(-rows * job.words // 8),
        "scan": job.volumes * chunks * job.words,
        "plane": planes * -(-ny // cuda_records.ROWS),
        "pairs": planes * -(-ny // cuda_records.PAIR_ROWS),
        "mark": -(-job.volumes * (2 * nz - 1) * (2 * ny - 1) * (2 * nx - 1) // launch.block[0]),
        "sample": -(-nz * ny * nx // launch.block[0]),
    }[name]
    flags = (ctypes.c_uint32 * job.volumes).from_address(job.flags) if job.flags else ()
    sites = [bool(flag & cuda_records.HAS_SITE) for flag in flags]
    if doubled is not None:
        sites = [bool(doubled.distances)]
    steps = [job.labels.step[0], job.labels.step[1]]
    steps += [step for step, n in zip(job.labels.lead, job.leading, strict=True) if n > 1]
    in_fours = job.labels.step[2] == 1 and not any(n % 4 for n in (job.labels.data, nx, *steps))
    in_fours = in_fours and job.label.width == 1 and not job.annotated
    return {
        f"labels of {job.label.width} B": True,
        **_mask(job.mask_value, bool(job.mask.data)),
        "mask": bool(job.mask.data),
        "leading axes": sum(n > 1 for n in job.leading) > 0,
        "several tasks a block": grid < tasks,
        "weights": bool(job.weight.data),
        "no weights": not job.weight.data,
        "border": bool(job.bordered),
        "signed": job.background == 1,
        "times label": job.background == 2,
        "unannotated": _may_miss(job.label),
        "site": any(sites),
        "no site": not all(sites),
        "counts": bool(job.counted),
        "no counts": not job.counted,
        "segments in scratch": bool(job.segments),
        "segments in shared memory": not job.segments,
        "several segments": nz > cuda_records.STEPS,
        "all swept": bool(job.annotated or job.everywhere),
        "one group of classes": job.table.groups == 1,
        "several groups of classes": job.table.groups > 1,
        "classes": job.table.classes > 0,
        "four labels at once": in_fours,
        "single labels": not in_fours,
    }
