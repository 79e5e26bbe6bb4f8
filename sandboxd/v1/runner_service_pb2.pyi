import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from sandboxd.v1 import blob_service_pb2 as _blob_service_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Network(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NETWORK_UNSPECIFIED: _ClassVar[Network]
    NETWORK_NONE: _ClassVar[Network]
    NETWORK_LOOPBACK: _ClassVar[Network]

class FileFault(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FILE_FAULT_UNSPECIFIED: _ClassVar[FileFault]
    FILE_FAULT_MISSING: _ClassVar[FileFault]
    FILE_FAULT_NOT_REGULAR: _ClassVar[FileFault]
    FILE_FAULT_TOO_LARGE: _ClassVar[FileFault]
    FILE_FAULT_NOT_ALLOWED: _ClassVar[FileFault]
    FILE_FAULT_LINK: _ClassVar[FileFault]
    FILE_FAULT_DIRECTORY: _ClassVar[FileFault]
    FILE_FAULT_PIPE: _ClassVar[FileFault]
    FILE_FAULT_NOT_STORED: _ClassVar[FileFault]

class OutputStream(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTPUT_STREAM_UNSPECIFIED: _ClassVar[OutputStream]
    OUTPUT_STREAM_STDOUT: _ClassVar[OutputStream]
    OUTPUT_STREAM_STDERR: _ClassVar[OutputStream]

class EndRule(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    END_RULE_UNSPECIFIED: _ClassVar[EndRule]
    END_RULE_WAIT: _ClassVar[EndRule]
    END_RULE_STOP_ON_FIRST_END: _ClassVar[EndRule]
    END_RULE_STOP_ON_FIRST_FAILURE: _ClassVar[EndRule]

class BatchRule(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BATCH_RULE_UNSPECIFIED: _ClassVar[BatchRule]
    BATCH_RULE_ALL: _ClassVar[BatchRule]
    BATCH_RULE_STOP: _ClassVar[BatchRule]
    BATCH_RULE_STOP_GROUP: _ClassVar[BatchRule]

class SkipCause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SKIP_CAUSE_UNSPECIFIED: _ClassVar[SkipCause]
    SKIP_CAUSE_RULE: _ClassVar[SkipCause]
    SKIP_CAUSE_WALL_TIME: _ClassVar[SkipCause]

class IdMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ID_MODE_UNSPECIFIED: _ClassVar[IdMode]
    ID_MODE_RANGE: _ClassVar[IdMode]
    ID_MODE_SINGLE: _ClassVar[IdMode]
NETWORK_UNSPECIFIED: Network
NETWORK_NONE: Network
NETWORK_LOOPBACK: Network
FILE_FAULT_UNSPECIFIED: FileFault
FILE_FAULT_MISSING: FileFault
FILE_FAULT_NOT_REGULAR: FileFault
FILE_FAULT_TOO_LARGE: FileFault
FILE_FAULT_NOT_ALLOWED: FileFault
FILE_FAULT_LINK: FileFault
FILE_FAULT_DIRECTORY: FileFault
FILE_FAULT_PIPE: FileFault
FILE_FAULT_NOT_STORED: FileFault
OUTPUT_STREAM_UNSPECIFIED: OutputStream
OUTPUT_STREAM_STDOUT: OutputStream
OUTPUT_STREAM_STDERR: OutputStream
END_RULE_UNSPECIFIED: EndRule
END_RULE_WAIT: EndRule
END_RULE_STOP_ON_FIRST_END: EndRule
END_RULE_STOP_ON_FIRST_FAILURE: EndRule
BATCH_RULE_UNSPECIFIED: BatchRule
BATCH_RULE_ALL: BatchRule
BATCH_RULE_STOP: BatchRule
BATCH_RULE_STOP_GROUP: BatchRule
SKIP_CAUSE_UNSPECIFIED: SkipCause
SKIP_CAUSE_RULE: SkipCause
SKIP_CAUSE_WALL_TIME: SkipCause
ID_MODE_UNSPECIFIED: IdMode
ID_MODE_RANGE: IdMode
ID_MODE_SINGLE: IdMode

class RunRequest(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class Job(_message.Message):
    __slots__ = ("argv", "env", "working_directory", "stdin", "files", "outputs", "limits", "policy", "root", "network", "merge_stderr", "terminal", "require", "secret_env", "exclusive_cpus")
    class EnvEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class SecretEnvEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ARGV_FIELD_NUMBER: _ClassVar[int]
    ENV_FIELD_NUMBER: _ClassVar[int]
    WORKING_DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    STDIN_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    ROOT_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    MERGE_STDERR_FIELD_NUMBER: _ClassVar[int]
    TERMINAL_FIELD_NUMBER: _ClassVar[int]
    REQUIRE_FIELD_NUMBER: _ClassVar[int]
    SECRET_ENV_FIELD_NUMBER: _ClassVar[int]
    EXCLUSIVE_CPUS_FIELD_NUMBER: _ClassVar[int]
    argv: _containers.RepeatedScalarFieldContainer[str]
    env: _containers.ScalarMap[str, str]
    working_directory: str
    stdin: Content
    files: _containers.RepeatedCompositeFieldContainer[InputFile]
    outputs: _containers.RepeatedCompositeFieldContainer[OutputPath]
    limits: Limits
    policy: str
    root: str
    network: Network
    merge_stderr: bool
    terminal: Terminal
    require: _containers.RepeatedScalarFieldContainer[str]
    secret_env: _containers.ScalarMap[str, str]
    exclusive_cpus: bool
    def __init__(self, argv: _Optional[_Iterable[str]] = ..., env: _Optional[_Mapping[str, str]] = ..., working_directory: _Optional[str] = ..., stdin: _Optional[_Union[Content, _Mapping]] = ..., files: _Optional[_Iterable[_Union[InputFile, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[OutputPath, _Mapping]]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., policy: _Optional[str] = ..., root: _Optional[str] = ..., network: _Optional[_Union[Network, str]] = ..., merge_stderr: _Optional[bool] = ..., terminal: _Optional[_Union[Terminal, _Mapping]] = ..., require: _Optional[_Iterable[str]] = ..., secret_env: _Optional[_Mapping[str, str]] = ..., exclusive_cpus: _Optional[bool] = ...) -> None: ...

class Content(_message.Message):
    __slots__ = ("data", "blob")
    DATA_FIELD_NUMBER: _ClassVar[int]
    BLOB_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    blob: _blob_service_pb2.Digest
    def __init__(self, data: _Optional[bytes] = ..., blob: _Optional[_Union[_blob_service_pb2.Digest, _Mapping]] = ...) -> None: ...

class InputFile(_message.Message):
    __slots__ = ("path", "content", "executable", "secret")
    PATH_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    EXECUTABLE_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    path: str
    content: Content
    executable: bool
    secret: bool
    def __init__(self, path: _Optional[str] = ..., content: _Optional[_Union[Content, _Mapping]] = ..., executable: _Optional[bool] = ..., secret: _Optional[bool] = ...) -> None: ...

class Terminal(_message.Message):
    __slots__ = ("rows", "columns", "no_echo")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    NO_ECHO_FIELD_NUMBER: _ClassVar[int]
    rows: int
    columns: int
    no_echo: bool
    def __init__(self, rows: _Optional[int] = ..., columns: _Optional[int] = ..., no_echo: _Optional[bool] = ...) -> None: ...

class OutputPath(_message.Message):
    __slots__ = ("path", "optional", "store", "max_bytes")
    PATH_FIELD_NUMBER: _ClassVar[int]
    OPTIONAL_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    path: str
    optional: bool
    store: bool
    max_bytes: int
    def __init__(self, path: _Optional[str] = ..., optional: _Optional[bool] = ..., store: _Optional[bool] = ..., max_bytes: _Optional[int] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("cpu_time", "wall_time", "memory_bytes", "process_count", "output_bytes", "scratch_bytes", "file_count", "file_size_bytes", "open_file_count", "stack_bytes", "cpu_count", "core_bytes", "memlock_bytes", "msgqueue_bytes", "address_space_bytes", "stop_on_output")
    CPU_TIME_FIELD_NUMBER: _ClassVar[int]
    WALL_TIME_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    PROCESS_COUNT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_BYTES_FIELD_NUMBER: _ClassVar[int]
    SCRATCH_BYTES_FIELD_NUMBER: _ClassVar[int]
    FILE_COUNT_FIELD_NUMBER: _ClassVar[int]
    FILE_SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    OPEN_FILE_COUNT_FIELD_NUMBER: _ClassVar[int]
    STACK_BYTES_FIELD_NUMBER: _ClassVar[int]
    CPU_COUNT_FIELD_NUMBER: _ClassVar[int]
    CORE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMLOCK_BYTES_FIELD_NUMBER: _ClassVar[int]
    MSGQUEUE_BYTES_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_SPACE_BYTES_FIELD_NUMBER: _ClassVar[int]
    STOP_ON_OUTPUT_FIELD_NUMBER: _ClassVar[int]
    cpu_time: _duration_pb2.Duration
    wall_time: _duration_pb2.Duration
    memory_bytes: int
    process_count: int
    output_bytes: int
    scratch_bytes: int
    file_count: int
    file_size_bytes: int
    open_file_count: int
    stack_bytes: int
    cpu_count: float
    core_bytes: int
    memlock_bytes: int
    msgqueue_bytes: int
    address_space_bytes: int
    stop_on_output: bool
    def __init__(self, cpu_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., wall_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., memory_bytes: _Optional[int] = ..., process_count: _Optional[int] = ..., output_bytes: _Optional[int] = ..., scratch_bytes: _Optional[int] = ..., file_count: _Optional[int] = ..., file_size_bytes: _Optional[int] = ..., open_file_count: _Optional[int] = ..., stack_bytes: _Optional[int] = ..., cpu_count: _Optional[float] = ..., core_bytes: _Optional[int] = ..., memlock_bytes: _Optional[int] = ..., msgqueue_bytes: _Optional[int] = ..., address_space_bytes: _Optional[int] = ..., stop_on_output: _Optional[bool] = ...) -> None: ...

class RunResponse(_message.Message):
    __slots__ = ("outcome", "stdout", "stderr", "files")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    STDOUT_FIELD_NUMBER: _ClassVar[int]
    STDERR_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    outcome: Outcome
    stdout: Captured
    stderr: Captured
    files: _containers.RepeatedCompositeFieldContainer[OutputFile]
    def __init__(self, outcome: _Optional[_Union[Outcome, _Mapping]] = ..., stdout: _Optional[_Union[Captured, _Mapping]] = ..., stderr: _Optional[_Union[Captured, _Mapping]] = ..., files: _Optional[_Iterable[_Union[OutputFile, _Mapping]]] = ...) -> None: ...

class Outcome(_message.Message):
    __slots__ = ("exited", "signaled", "limit_exceeded", "syscall_denied", "not_started", "usage", "limits_touched", "enforced", "policy_digest")
    EXITED_FIELD_NUMBER: _ClassVar[int]
    SIGNALED_FIELD_NUMBER: _ClassVar[int]
    LIMIT_EXCEEDED_FIELD_NUMBER: _ClassVar[int]
    SYSCALL_DENIED_FIELD_NUMBER: _ClassVar[int]
    NOT_STARTED_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    LIMITS_TOUCHED_FIELD_NUMBER: _ClassVar[int]
    ENFORCED_FIELD_NUMBER: _ClassVar[int]
    POLICY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    exited: Exited
    signaled: Signaled
    limit_exceeded: LimitExceeded
    syscall_denied: SyscallDenied
    not_started: NotStarted
    usage: Usage
    limits_touched: _containers.RepeatedScalarFieldContainer[str]
    enforced: _containers.RepeatedCompositeFieldContainer[EnforcedLimit]
    policy_digest: str
    def __init__(self, exited: _Optional[_Union[Exited, _Mapping]] = ..., signaled: _Optional[_Union[Signaled, _Mapping]] = ..., limit_exceeded: _Optional[_Union[LimitExceeded, _Mapping]] = ..., syscall_denied: _Optional[_Union[SyscallDenied, _Mapping]] = ..., not_started: _Optional[_Union[NotStarted, _Mapping]] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., limits_touched: _Optional[_Iterable[str]] = ..., enforced: _Optional[_Iterable[_Union[EnforcedLimit, _Mapping]]] = ..., policy_digest: _Optional[str] = ...) -> None: ...

class Exited(_message.Message):
    __slots__ = ("exit_code",)
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    exit_code: int
    def __init__(self, exit_code: _Optional[int] = ...) -> None: ...

class Signaled(_message.Message):
    __slots__ = ("signal", "core_dumped")
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    CORE_DUMPED_FIELD_NUMBER: _ClassVar[int]
    signal: str
    core_dumped: bool
    def __init__(self, signal: _Optional[str] = ..., core_dumped: _Optional[bool] = ...) -> None: ...

class LimitExceeded(_message.Message):
    __slots__ = ("limit",)
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    limit: str
    def __init__(self, limit: _Optional[str] = ...) -> None: ...

class SyscallDenied(_message.Message):
    __slots__ = ("syscall",)
    SYSCALL_FIELD_NUMBER: _ClassVar[int]
    syscall: str
    def __init__(self, syscall: _Optional[str] = ...) -> None: ...

class NotStarted(_message.Message):
    __slots__ = ("errno", "message")
    ERRNO_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    errno: str
    message: str
    def __init__(self, errno: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("user_time", "system_time", "cpu_time", "wall_time", "setup_time", "queue_time", "peak_memory_bytes", "peak_process_count", "oom_kill_count", "throttled_time")
    USER_TIME_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_TIME_FIELD_NUMBER: _ClassVar[int]
    CPU_TIME_FIELD_NUMBER: _ClassVar[int]
    WALL_TIME_FIELD_NUMBER: _ClassVar[int]
    SETUP_TIME_FIELD_NUMBER: _ClassVar[int]
    QUEUE_TIME_FIELD_NUMBER: _ClassVar[int]
    PEAK_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    PEAK_PROCESS_COUNT_FIELD_NUMBER: _ClassVar[int]
    OOM_KILL_COUNT_FIELD_NUMBER: _ClassVar[int]
    THROTTLED_TIME_FIELD_NUMBER: _ClassVar[int]
    user_time: _duration_pb2.Duration
    system_time: _duration_pb2.Duration
    cpu_time: _duration_pb2.Duration
    wall_time: _duration_pb2.Duration
    setup_time: _duration_pb2.Duration
    queue_time: _duration_pb2.Duration
    peak_memory_bytes: int
    peak_process_count: int
    oom_kill_count: int
    throttled_time: _duration_pb2.Duration
    def __init__(self, user_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., system_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., cpu_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., wall_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., setup_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., queue_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., peak_memory_bytes: _Optional[int] = ..., peak_process_count: _Optional[int] = ..., oom_kill_count: _Optional[int] = ..., throttled_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class EnforcedLimit(_message.Message):
    __slots__ = ("limit", "value", "mechanism")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    MECHANISM_FIELD_NUMBER: _ClassVar[int]
    limit: str
    value: str
    mechanism: str
    def __init__(self, limit: _Optional[str] = ..., value: _Optional[str] = ..., mechanism: _Optional[str] = ...) -> None: ...

class Captured(_message.Message):
    __slots__ = ("data", "total_bytes", "truncated")
    DATA_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    total_bytes: int
    truncated: bool
    def __init__(self, data: _Optional[bytes] = ..., total_bytes: _Optional[int] = ..., truncated: _Optional[bool] = ...) -> None: ...

class OutputFile(_message.Message):
    __slots__ = ("path", "content", "fault", "executable")
    PATH_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    EXECUTABLE_FIELD_NUMBER: _ClassVar[int]
    path: str
    content: Content
    fault: FileFault
    executable: bool
    def __init__(self, path: _Optional[str] = ..., content: _Optional[_Union[Content, _Mapping]] = ..., fault: _Optional[_Union[FileFault, str]] = ..., executable: _Optional[bool] = ...) -> None: ...

class AttachRequest(_message.Message):
    __slots__ = ("job", "stdin", "stdin_end", "signal", "window_size", "cancel")
    JOB_FIELD_NUMBER: _ClassVar[int]
    STDIN_FIELD_NUMBER: _ClassVar[int]
    STDIN_END_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    WINDOW_SIZE_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    job: Job
    stdin: bytes
    stdin_end: StdinEnd
    signal: SendSignal
    window_size: WindowSize
    cancel: Cancel
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ..., stdin: _Optional[bytes] = ..., stdin_end: _Optional[_Union[StdinEnd, _Mapping]] = ..., signal: _Optional[_Union[SendSignal, _Mapping]] = ..., window_size: _Optional[_Union[WindowSize, _Mapping]] = ..., cancel: _Optional[_Union[Cancel, _Mapping]] = ...) -> None: ...

class StdinEnd(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SendSignal(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class WindowSize(_message.Message):
    __slots__ = ("rows", "columns")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    rows: int
    columns: int
    def __init__(self, rows: _Optional[int] = ..., columns: _Optional[int] = ...) -> None: ...

class Cancel(_message.Message):
    __slots__ = ("signal", "grace")
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    GRACE_FIELD_NUMBER: _ClassVar[int]
    signal: str
    grace: _duration_pb2.Duration
    def __init__(self, signal: _Optional[str] = ..., grace: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class AttachResponse(_message.Message):
    __slots__ = ("started", "output", "ended")
    STARTED_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    started: Started
    output: Output
    ended: Ended
    def __init__(self, started: _Optional[_Union[Started, _Mapping]] = ..., output: _Optional[_Union[Output, _Mapping]] = ..., ended: _Optional[_Union[Ended, _Mapping]] = ...) -> None: ...

class Started(_message.Message):
    __slots__ = ("queue_time", "setup_time")
    QUEUE_TIME_FIELD_NUMBER: _ClassVar[int]
    SETUP_TIME_FIELD_NUMBER: _ClassVar[int]
    queue_time: _duration_pb2.Duration
    setup_time: _duration_pb2.Duration
    def __init__(self, queue_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., setup_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Output(_message.Message):
    __slots__ = ("stream", "offset_bytes", "time", "data")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    OFFSET_BYTES_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    stream: OutputStream
    offset_bytes: int
    time: _duration_pb2.Duration
    data: bytes
    def __init__(self, stream: _Optional[_Union[OutputStream, str]] = ..., offset_bytes: _Optional[int] = ..., time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., data: _Optional[bytes] = ...) -> None: ...

class Ended(_message.Message):
    __slots__ = ("outcome", "stdout_total_bytes", "stderr_total_bytes", "files")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    STDOUT_TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    STDERR_TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    outcome: Outcome
    stdout_total_bytes: int
    stderr_total_bytes: int
    files: _containers.RepeatedCompositeFieldContainer[OutputFile]
    def __init__(self, outcome: _Optional[_Union[Outcome, _Mapping]] = ..., stdout_total_bytes: _Optional[int] = ..., stderr_total_bytes: _Optional[int] = ..., files: _Optional[_Iterable[_Union[OutputFile, _Mapping]]] = ...) -> None: ...

class RunGroupRequest(_message.Message):
    __slots__ = ("members", "pipes", "end_rule", "wall_time")
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    PIPES_FIELD_NUMBER: _ClassVar[int]
    END_RULE_FIELD_NUMBER: _ClassVar[int]
    WALL_TIME_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedCompositeFieldContainer[GroupMember]
    pipes: _containers.RepeatedCompositeFieldContainer[GroupPipe]
    end_rule: EndRule
    wall_time: _duration_pb2.Duration
    def __init__(self, members: _Optional[_Iterable[_Union[GroupMember, _Mapping]]] = ..., pipes: _Optional[_Iterable[_Union[GroupPipe, _Mapping]]] = ..., end_rule: _Optional[_Union[EndRule, str]] = ..., wall_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class GroupMember(_message.Message):
    __slots__ = ("name", "job")
    NAME_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    name: str
    job: Job
    def __init__(self, name: _Optional[str] = ..., job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class GroupPipe(_message.Message):
    __slots__ = ("name", "writer", "reader", "swallow", "record_bytes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WRITER_FIELD_NUMBER: _ClassVar[int]
    READER_FIELD_NUMBER: _ClassVar[int]
    SWALLOW_FIELD_NUMBER: _ClassVar[int]
    RECORD_BYTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    writer: PipeEnd
    reader: PipeEnd
    swallow: bool
    record_bytes: int
    def __init__(self, name: _Optional[str] = ..., writer: _Optional[_Union[PipeEnd, _Mapping]] = ..., reader: _Optional[_Union[PipeEnd, _Mapping]] = ..., swallow: _Optional[bool] = ..., record_bytes: _Optional[int] = ...) -> None: ...

class PipeEnd(_message.Message):
    __slots__ = ("member", "descriptor")
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTOR_FIELD_NUMBER: _ClassVar[int]
    member: str
    descriptor: int
    def __init__(self, member: _Optional[str] = ..., descriptor: _Optional[int] = ...) -> None: ...

class RunGroupResponse(_message.Message):
    __slots__ = ("results", "records")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[GroupResult]
    records: _containers.RepeatedCompositeFieldContainer[PipeRecord]
    def __init__(self, results: _Optional[_Iterable[_Union[GroupResult, _Mapping]]] = ..., records: _Optional[_Iterable[_Union[PipeRecord, _Mapping]]] = ...) -> None: ...

class GroupResult(_message.Message):
    __slots__ = ("name", "response", "end_place", "stopped")
    NAME_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    END_PLACE_FIELD_NUMBER: _ClassVar[int]
    STOPPED_FIELD_NUMBER: _ClassVar[int]
    name: str
    response: RunResponse
    end_place: int
    stopped: bool
    def __init__(self, name: _Optional[str] = ..., response: _Optional[_Union[RunResponse, _Mapping]] = ..., end_place: _Optional[int] = ..., stopped: _Optional[bool] = ...) -> None: ...

class PipeRecord(_message.Message):
    __slots__ = ("name", "pieces", "total_bytes", "truncated")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PIECES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    name: str
    pieces: _containers.RepeatedCompositeFieldContainer[PipePiece]
    total_bytes: int
    truncated: bool
    def __init__(self, name: _Optional[str] = ..., pieces: _Optional[_Iterable[_Union[PipePiece, _Mapping]]] = ..., total_bytes: _Optional[int] = ..., truncated: _Optional[bool] = ...) -> None: ...

class PipePiece(_message.Message):
    __slots__ = ("time", "data")
    TIME_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    time: _duration_pb2.Duration
    data: bytes
    def __init__(self, time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., data: _Optional[bytes] = ...) -> None: ...

class RunBatchRequest(_message.Message):
    __slots__ = ("job", "cases", "parallel_count", "rule", "wall_time")
    JOB_FIELD_NUMBER: _ClassVar[int]
    CASES_FIELD_NUMBER: _ClassVar[int]
    PARALLEL_COUNT_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    WALL_TIME_FIELD_NUMBER: _ClassVar[int]
    job: Job
    cases: _containers.RepeatedCompositeFieldContainer[BatchCase]
    parallel_count: int
    rule: BatchRule
    wall_time: _duration_pb2.Duration
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ..., cases: _Optional[_Iterable[_Union[BatchCase, _Mapping]]] = ..., parallel_count: _Optional[int] = ..., rule: _Optional[_Union[BatchRule, str]] = ..., wall_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class BatchCase(_message.Message):
    __slots__ = ("stdin", "argv", "env", "files", "limits", "group")
    class EnvEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    STDIN_FIELD_NUMBER: _ClassVar[int]
    ARGV_FIELD_NUMBER: _ClassVar[int]
    ENV_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    stdin: Content
    argv: _containers.RepeatedScalarFieldContainer[str]
    env: _containers.ScalarMap[str, str]
    files: _containers.RepeatedCompositeFieldContainer[InputFile]
    limits: Limits
    group: str
    def __init__(self, stdin: _Optional[_Union[Content, _Mapping]] = ..., argv: _Optional[_Iterable[str]] = ..., env: _Optional[_Mapping[str, str]] = ..., files: _Optional[_Iterable[_Union[InputFile, _Mapping]]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., group: _Optional[str] = ...) -> None: ...

class RunBatchResponse(_message.Message):
    __slots__ = ("index", "response", "fault", "skipped")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    index: int
    response: RunResponse
    fault: Fault
    skipped: Skipped
    def __init__(self, index: _Optional[int] = ..., response: _Optional[_Union[RunResponse, _Mapping]] = ..., fault: _Optional[_Union[Fault, _Mapping]] = ..., skipped: _Optional[_Union[Skipped, _Mapping]] = ...) -> None: ...

class Fault(_message.Message):
    __slots__ = ("reason", "message", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Skipped(_message.Message):
    __slots__ = ("cause",)
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    cause: SkipCause
    def __init__(self, cause: _Optional[_Union[SkipCause, str]] = ...) -> None: ...

class GetHostRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetHostResponse(_message.Message):
    __slots__ = ("version", "kernel_release", "id_mode", "cgroup_rung", "landlock_abi", "processor_count", "slot_count", "memory_bytes", "defaults", "ceilings", "mechanisms", "policies", "roots", "networks", "features", "weaknesses", "pool_size", "ready_sandbox_count", "running_job_count", "waiting_job_count", "worker_count")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    KERNEL_RELEASE_FIELD_NUMBER: _ClassVar[int]
    ID_MODE_FIELD_NUMBER: _ClassVar[int]
    CGROUP_RUNG_FIELD_NUMBER: _ClassVar[int]
    LANDLOCK_ABI_FIELD_NUMBER: _ClassVar[int]
    PROCESSOR_COUNT_FIELD_NUMBER: _ClassVar[int]
    SLOT_COUNT_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    DEFAULTS_FIELD_NUMBER: _ClassVar[int]
    CEILINGS_FIELD_NUMBER: _ClassVar[int]
    MECHANISMS_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    ROOTS_FIELD_NUMBER: _ClassVar[int]
    NETWORKS_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    WEAKNESSES_FIELD_NUMBER: _ClassVar[int]
    POOL_SIZE_FIELD_NUMBER: _ClassVar[int]
    READY_SANDBOX_COUNT_FIELD_NUMBER: _ClassVar[int]
    RUNNING_JOB_COUNT_FIELD_NUMBER: _ClassVar[int]
    WAITING_JOB_COUNT_FIELD_NUMBER: _ClassVar[int]
    WORKER_COUNT_FIELD_NUMBER: _ClassVar[int]
    version: str
    kernel_release: str
    id_mode: IdMode
    cgroup_rung: str
    landlock_abi: int
    processor_count: int
    slot_count: int
    memory_bytes: int
    defaults: Limits
    ceilings: Limits
    mechanisms: _containers.RepeatedCompositeFieldContainer[LimitMechanism]
    policies: _containers.RepeatedCompositeFieldContainer[Policy]
    roots: _containers.RepeatedScalarFieldContainer[str]
    networks: _containers.RepeatedScalarFieldContainer[Network]
    features: _containers.RepeatedScalarFieldContainer[str]
    weaknesses: _containers.RepeatedCompositeFieldContainer[Weakness]
    pool_size: int
    ready_sandbox_count: int
    running_job_count: int
    waiting_job_count: int
    worker_count: int
    def __init__(self, version: _Optional[str] = ..., kernel_release: _Optional[str] = ..., id_mode: _Optional[_Union[IdMode, str]] = ..., cgroup_rung: _Optional[str] = ..., landlock_abi: _Optional[int] = ..., processor_count: _Optional[int] = ..., slot_count: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., defaults: _Optional[_Union[Limits, _Mapping]] = ..., ceilings: _Optional[_Union[Limits, _Mapping]] = ..., mechanisms: _Optional[_Iterable[_Union[LimitMechanism, _Mapping]]] = ..., policies: _Optional[_Iterable[_Union[Policy, _Mapping]]] = ..., roots: _Optional[_Iterable[str]] = ..., networks: _Optional[_Iterable[_Union[Network, str]]] = ..., features: _Optional[_Iterable[str]] = ..., weaknesses: _Optional[_Iterable[_Union[Weakness, _Mapping]]] = ..., pool_size: _Optional[int] = ..., ready_sandbox_count: _Optional[int] = ..., running_job_count: _Optional[int] = ..., waiting_job_count: _Optional[int] = ..., worker_count: _Optional[int] = ...) -> None: ...

class LimitMechanism(_message.Message):
    __slots__ = ("limit", "mechanism")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    MECHANISM_FIELD_NUMBER: _ClassVar[int]
    limit: str
    mechanism: str
    def __init__(self, limit: _Optional[str] = ..., mechanism: _Optional[str] = ...) -> None: ...

class Policy(_message.Message):
    __slots__ = ("name", "description", "digest")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    digest: str
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., digest: _Optional[str] = ...) -> None: ...

class Weakness(_message.Message):
    __slots__ = ("subject", "cause", "remedy")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    subject: str
    cause: str
    remedy: str
    def __init__(self, subject: _Optional[str] = ..., cause: _Optional[str] = ..., remedy: _Optional[str] = ...) -> None: ...
