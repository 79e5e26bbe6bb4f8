"""Messages and values: nothing is lost on the way there and back, and nonsense is named."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from sandboxd.errors import HostError, JobError, Violation
from sandboxd.host import Host, Weakness
from sandboxd.identity import Identity, IdMode
from sandboxd.kernel.cgroups import Rung, Tree
from sandboxd.model import outcome as out
from sandboxd.model.blob import Digest
from sandboxd.model.job import InputFile, Job, Network, OutputPath
from sandboxd.model.limits import ROWS, Limits, Unit, built_in
from sandboxd.model.policy import Policy
from sandboxd.server import wire
from sandboxd.server.board import Counts
from sandboxd.server.wire_host import HostPolicy, HostWeakness
from sandboxd.v1 import blob_service_pb2 as blob_pb
from sandboxd.v1 import runner_service_pb2 as pb

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
words = st.text("abcdefgh-_", min_size=1, max_size=12)
counts = st.integers(0, 2**63 - 1)
durations = st.timedeltas(timedelta(), wire.MAX_DURATION)
blobs = st.binary(max_size=40)
digests = st.builds(
    Digest,
    st.text("0123456789abcdef", min_size=64, max_size=64),
    st.none() | st.integers(0, 1 << 20),
)
numbers = {
    Unit.DURATION: durations,
    Unit.BYTES: counts,
    Unit.COUNT: counts,
    Unit.PROCESSORS: st.floats(0, 4096),
}
limits = st.builds(
    Limits,
    **{row.name: st.none() | numbers[row.unit] for row in ROWS},
    stop_on_output=st.booleans(),
)
jobs = st.builds(
    Job,
    argv=st.lists(texts.filter(bool), min_size=1, max_size=4).map(tuple),
    env=st.dictionaries(words, texts, max_size=4),
    secret_env=st.dictionaries(words.map("S{}".format), texts, max_size=4),
    working_directory=words.map("/{}".format),
    stdin=blobs | digests,
    files=st.lists(
        st.builds(
            InputFile,
            words.map("/tmp/{}".format),
            blobs | digests,
            st.booleans(),
            secret=st.booleans(),
        ),
        max_size=3,
        unique_by=lambda file: file.path,
    ).map(tuple),
    outputs=st.lists(
        st.builds(
            OutputPath, words, st.booleans(), st.none() | st.integers(1, 1 << 20), st.booleans()
        ),
        max_size=3,
        unique_by=lambda output: output.path,
    ).map(tuple),
    limits=limits,
    policy=words,
    root=words,
    network=st.sampled_from(Network),
    merge_stderr=st.booleans(),
    require=st.lists(words, max_size=3).map(tuple),
    exclusive_cpus=st.booleans(),
)
endings = st.one_of(
    st.builds(out.Exited, st.integers(0, 255)),
    st.builds(out.Signaled, words, st.booleans()),
    st.builds(out.LimitExceeded, words),
    st.builds(out.SyscallDenied, texts),
    st.builds(out.NotStarted, words, texts),
)
usages = st.builds(
    out.Usage,
    **{
        field.name: durations if field.name.endswith("_time") else counts
        for field in fields(out.Usage)
    },
)
captures = st.builds(out.Captured, blobs, counts, st.booleans())
files = st.one_of(
    st.builds(out.OutputFile, texts, content=blobs, executable=st.booleans()),
    st.builds(out.OutputFile, texts, blob=digests, executable=st.booleans()),
    st.builds(out.OutputFile, texts, fault=st.sampled_from(out.FileFault)),
)
results = st.builds(
    out.RunResult,
    outcome=st.builds(
        out.Outcome,
        ending=endings,
        usage=usages,
        limits_touched=st.lists(words, max_size=3).map(tuple),
        enforced=st.lists(st.builds(out.EnforcedLimit, words, words, texts), max_size=3).map(tuple),
        policy_digest=words,
    ),
    stdout=captures,
    stderr=captures,
    files=st.lists(files, max_size=3).map(tuple),
)


@given(jobs)
def test_a_job_survives_the_way_there_and_back(job: Job) -> None:
    sent = wire.from_job(job).SerializeToString()
    assert wire.to_job(pb.RunRequest.FromString(sent)) == job


def test_a_secret_variable_never_travels_among_the_others() -> None:
    job = Job(argv=("true",), env={"A": "1"}, secret_env={"B": "2"})
    sent = wire.from_job(job).job
    assert (dict(sent.env), dict(sent.secret_env)) == ({"A": "1"}, {"B": "2"})


@given(results)
def test_a_result_survives_the_way_there_and_back(result: out.RunResult) -> None:
    sent = wire.to_response(result).SerializeToString()
    assert wire.from_response(pb.RunResponse.FromString(sent)) == result


@given(limits, limits, counts, st.sampled_from(IdMode), st.sampled_from(Rung))
def test_a_host_survives_the_way_there(
    defaults: Limits, ceilings: Limits, memory_bytes: int, mode: IdMode, rung: Rung
) -> None:
    policy = Policy("default", "for programs", ())
    host = Host(
        version="1.2.3",
        kernel_release="6.18.0",
        identity=Identity(1000, 1000, mode, (), (), started_as_root=False),
        tree=Tree(rung, {}),
        landlock_abi=7,
        processors=(0, 1),
        memory_bytes=memory_bytes,
        slot_count=3,
        queue_length=9,
        defaults=defaults,
        ceilings=ceilings,
        mechanisms={"memory_bytes": "cgroup2 memory.max", "cpu_time": "none"},
        policies={"default": policy},
        root_sources=(),
        weaknesses=(Weakness("memory_bytes", "no cgroup", "delegate one"),),
        pool_size=4,
    )
    counts = Counts(3, 5, 8, 13, 21, 34, 55)
    sent = wire.to_host_response(host, counts).SerializeToString()
    assert wire.from_host_response(pb.GetHostResponse.FromString(sent)) == wire.HostDescription(
        version="1.2.3",
        kernel_release="6.18.0",
        id_mode=mode.value,
        cgroup_rung=rung.value,
        landlock_abi=7,
        processor_count=5,
        slot_count=8,
        memory_bytes=memory_bytes,
        defaults=defaults,
        ceilings=ceilings,
        mechanisms={"memory_bytes": "cgroup2 memory.max", "cpu_time": "none"},
        policies={"default": HostPolicy("default", "for programs", policy.digest)},
        roots=("host",),
        networks=(Network.NONE, Network.LOOPBACK),
        features=tuple(sorted({*host.features, "memory_bytes"})),
        weaknesses=(HostWeakness("memory_bytes", "no cgroup", "delegate one"),),
        running_job_count=13,
        waiting_job_count=21,
        pool_size=34,
        ready_sandbox_count=55,
        worker_count=3,
    )
    alone = wire.from_host_response(wire.to_host_response(host))
    assert (alone.processor_count, alone.slot_count, alone.pool_size) == (2, 3, 4)


def test_every_limit_has_its_proto_field_and_the_other_way_round() -> None:
    assert [field.name for field in pb.Limits.DESCRIPTOR.fields] == [
        field.name for field in fields(Limits)
    ]


@pytest.mark.parametrize(
    ("kind", "value"),
    [(message, kind) for kind, (_, message) in wire.ENDINGS.items()]
    + [(pb.Usage, out.Usage), (pb.EnforcedLimit, out.EnforcedLimit), (pb.Captured, out.Captured)]
    + [(pb.Policy, HostPolicy), (pb.Weakness, HostWeakness), (pb.Weakness, Weakness)],
)
def test_a_flat_message_has_the_fields_of_its_value(kind: type, value: type) -> None:
    assert [field.name for field in kind.DESCRIPTOR.fields] == [
        field.name for field in fields(value)
    ]


def test_every_member_of_an_enum_travels() -> None:
    assert set(wire.NETWORKS) == set(Network)
    assert set(wire.FILE_FAULTS) == set(out.FileFault)
    assert set(wire.NETWORKS.values()) | {0} == set(pb.Network.values())
    assert set(wire.FILE_FAULTS.values()) | {0} == set(pb.FileFault.values())


def test_what_a_request_leaves_open_has_the_defaults_of_job() -> None:
    assert wire.to_job(pb.RunRequest(job=pb.Job(argv=["true"]))) == Job(argv=("true",))


def broken_fields(job: pb.Job) -> dict[str, str]:
    with pytest.raises(JobError) as caught:
        wire.to_job(pb.RunRequest(job=job))
    return dict(caught.value.violations)


def test_a_request_without_a_job_names_argv() -> None:
    with pytest.raises(JobError) as caught:
        wire.to_job(pb.RunRequest())
    assert caught.value.violations == (Violation("job.argv", "must name a program"),)


@pytest.mark.parametrize(
    ("duration", "rule"),
    [
        (Duration(seconds=-1), "must not be negative"),
        (Duration(nanos=-1), "must not be negative"),
        (Duration(seconds=1, nanos=1_000_000_000), "nanos from 0 to 999999999"),
        (Duration(seconds=315_576_000_001), "at most 315576000000 seconds"),
        (Duration(seconds=2**63 - 1), "at most 315576000000 seconds"),
    ],
)
def test_a_duration_that_is_none_is_named(duration: Duration, rule: str) -> None:
    broken = broken_fields(pb.Job(argv=["true"], limits=pb.Limits(cpu_time=duration)))
    assert rule in broken.pop("job.limits.cpu_time")
    assert not broken


def test_all_faults_are_named_at_once() -> None:
    job = pb.Job(
        argv=["a\0b"],
        env={"A=B": ""},
        stdin=pb.Content(),
        files=[
            pb.InputFile(path="/etc/passwd", content=pb.Content()),
            pb.InputFile(
                path="x", content=pb.Content(blob=blob_pb.Digest(sha256="X", size_bytes=-1))
            ),
        ],
        outputs=[pb.OutputPath(path="o", max_bytes=0)],
        limits=pb.Limits(wall_time=Duration(seconds=-1)),
        network=77,
    )
    assert set(broken_fields(job)) == {
        "job.argv[0]",
        "job.env['A=B']",
        "job.stdin",
        "job.files[0].path",
        "job.files[0].content",
        "job.files[1].content.blob.sha256",
        "job.files[1].content.blob.size_bytes",
        "job.outputs[0].max_bytes",
        "job.limits.wall_time",
        "job.network",
    }


def test_a_file_without_content_is_empty() -> None:
    request = pb.RunRequest(job=pb.Job(argv=["true"], files=[pb.InputFile(path="x")]))
    assert wire.to_job(request).files == (InputFile("x", b""),)


def test_digits_finer_than_a_microsecond_are_cut_off() -> None:
    limits = pb.Limits(cpu_time=Duration(seconds=1, nanos=1_999))
    job = wire.to_job(pb.RunRequest(job=pb.Job(argv=["true"], limits=limits)))
    assert job.limits.cpu_time == timedelta(seconds=1, microseconds=1)


@pytest.mark.parametrize(
    ("job", "field"),
    [
        (Job(argv=("\udcff",)), "argv[0]"),
        (Job(argv=("true",), env={"A": "\udcc3\udca9"}), "env['A']"),
        (Job(argv=("true",), secret_env={"A": "\udcff"}), "secret_env['A']"),
        (Job(argv=("true",), policy="\ud800"), "policy"),
        (Job(argv=("true",), limits=Limits(memory_bytes=1 << 63)), "limits.memory_bytes"),
        (Job(argv=("true",), limits=Limits(cpu_time=timedelta.max)), "limits.cpu_time"),
    ],
)
def test_a_job_that_no_message_can_carry_is_refused_by_name(job: Job, field: str) -> None:
    with pytest.raises(JobError) as caught:
        wire.from_job(job)
    assert [violation.field for violation in caught.value.violations] == [field]


@pytest.mark.parametrize(
    ("path", "shown"),
    [("a\udcff.txt", r"a\xff.txt"), ("\ud800", r"\ud800"), ("ä", "ä")],
)
def test_a_file_name_that_is_no_utf8_still_comes_back(path: str, shown: str) -> None:
    result = out.RunResult(
        outcome=out.Outcome(ending=out.NotStarted("ENOENT", path), usage=out.Usage()),
        files=(out.OutputFile(path, content=b"\xff"),),
    )
    response = pb.RunResponse.FromString(wire.to_response(result).SerializeToString())
    assert response.files[0].path == shown
    assert response.files[0].content.data == b"\xff"
    assert response.outcome.not_started.message == shown


@pytest.mark.parametrize(
    "response",
    [
        pb.RunResponse(),
        pb.RunResponse(outcome=pb.Outcome(exited=pb.Exited()), files=[pb.OutputFile(path="x")]),
        pb.RunResponse(
            outcome=pb.Outcome(exited=pb.Exited(), usage=pb.Usage(cpu_time=Duration(seconds=2**62)))
        ),
    ],
)
def test_an_answer_of_a_newer_server_is_a_host_error(response: pb.RunResponse) -> None:
    with pytest.raises(HostError) as caught:
        wire.from_response(response)
    assert caught.value.reason == "UNREADABLE_ANSWER"


def test_the_comments_of_limits_give_the_built_in_defaults() -> None:
    host = pb.GetHostResponse(id_mode=pb.ID_MODE_SINGLE)
    host.defaults.CopyFrom(
        wire.from_job(Job(argv=("true",), limits=built_in("default"))).job.limits
    )
    assert wire.from_host_response(host).defaults == built_in("default")
