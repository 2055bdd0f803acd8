"""Actions: files whole or not at all, secrets seen by nobody, failures as sentences."""

from __future__ import annotations

import base64
import threading
import uuid

import pytest
from node_outside import MADE, Outside, no_secret

from pic4ser_lib.errors import CommandFailed
from pic4ser_lib.host import Host
from pic4ser_lib.steps import Action, Apply, RemoveFile, Restart, Run, Secret, WriteFile

TOKEN = Secret("join token", "kubeadm token create", "bonnie")
VALUE = f"abcdef.{uuid.uuid4().hex}"


def act(host: Host, *actions: Action) -> None:
    with host.session() as session:
        for action in actions:
            session.act(action, reveal=no_secret)


def failure(host: Host, action: Action) -> CommandFailed:
    with pytest.raises(CommandFailed) as caught:
        act(host, action)
    return caught.value


def listing(outside: Outside, folder: str) -> list[str]:
    """Mode, owner and name of all that is in a folder, hidden files too."""
    return outside.run(f"cd {folder} && find . -mindepth 1 -printf '%m %u %P\\n' | sort").splitlines()


# ------------------------------------------------------------------------------------------------ files

CONTENTS = {
    "text": "one\ntwo\n",
    "no newline": "one",
    "empty": "",
    "quotes": "it's \"$HOME\" `id` \\n \\ !\n'\n",
    "markers": "\n#END-0\n%s end 0\nEOF\n",
    "unicode": "grüße 你好 🙂\n",
    "control": "".join(map(chr, range(1, 128))) + "\r\n",
    "newlines": "\n\n\n",
    "large": "0123456789abcde\n" * 200_000,
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS.keys())
def test_a_file_is_written_byte_for_byte(host: Host, outside: Outside, folder: str, content: str) -> None:
    act(host, WriteFile(f"{folder}/file", content))
    read = outside.run(f"base64 -w0 {folder}/file")
    assert base64.b64decode(read) == content.encode()


def test_a_new_file_has_its_mode_and_is_roots_and_its_folder_is_made(host: Host, outside: Outside, folder: str) -> None:
    act(host, WriteFile(f"{folder}/a/b/file", "x", mode=0o600), WriteFile(f"{folder}/plain", "x"))
    assert listing(outside, folder) == ["600 root a/b/file", "644 root plain", "755 root a", "755 root a/b"]


@pytest.mark.parametrize("name", ["with space", "it's", '"double"', "-dash", "$HOME", "ünï", "a;b&c", "*"])
def test_any_name_is_a_name(host: Host, outside: Outside, folder: str, name: str) -> None:
    act(host, WriteFile(f"{folder}/{name}", "1"), WriteFile(f"{folder}/{name}", "2"))
    assert listing(outside, folder) == [f"644 root {name}"]
    act(host, RemoveFile(f"{folder}/{name}"))
    assert listing(outside, folder) == []


def test_an_old_version_is_kept_elsewhere_with_its_mode_and_owner(host: Host, outside: Outside, folder: str) -> None:
    outside.run(f"echo old > {folder}/file; chown daemon {folder}/file; chmod 640 {folder}/file")
    act(host, WriteFile(f"{folder}/file", "new\n", mode=0o600), WriteFile(f"{folder}/file", "newer\n", mode=0o600))
    assert listing(outside, folder) == ["600 daemon file"]
    kept = "/var/lib/pic4ser/backup" + folder
    assert outside.run(f"cat {kept}/file.*") == "old\nnew\n"
    assert outside.run(f"stat -c '%a %U' {kept}/file.* | head -1; stat -c %a {kept}") == "640 daemon\n700\n"


def test_a_removed_file_is_kept_elsewhere(host: Host, outside: Outside, folder: str) -> None:
    outside.run(f"echo old > {folder}/file")
    act(host, RemoveFile(f"{folder}/file"), RemoveFile(f"{folder}/file"), RemoveFile(f"{folder}/no/such/file"))
    assert listing(outside, folder) == []
    assert outside.run(f"cat /var/lib/pic4ser/backup{folder}/file.*") == "old\n"


def test_a_link_stays_and_what_it_points_to_is_written(host: Host, outside: Outside, folder: str) -> None:
    outside.run(f"cd {folder}; mkdir real; echo old > real/file; ln -s real/file link; ln -s nowhere dangling")
    act(host, WriteFile(f"{folder}/link", "new\n"), WriteFile(f"{folder}/dangling", "made\n"))
    assert outside.run(f"cd {folder}; readlink link dangling; cat real/file nowhere") == (
        "real/file\nnowhere\nnew\nmade\n"
    )


def test_a_half_written_file_of_a_power_cut_is_no_obstacle(host: Host, outside: Outside, folder: str) -> None:
    outside.run(f"cd {folder}; echo half > .file.pic4ser-new; ln -s /etc/passwd .other.pic4ser-new")
    act(host, WriteFile(f"{folder}/file", "whole\n"), WriteFile(f"{folder}/other", "whole\n"))
    assert listing(outside, folder) == ["644 root file", "644 root other"]


def test_a_reader_sees_the_old_file_or_the_new_one_and_nothing_between(
    host: Host, outside: Outside, folder: str
) -> None:
    versions = [f"{n}\n" * 20_000 for n in range(6)]
    act(host, WriteFile(f"{folder}/file", versions[0]))
    reader = outside.start(
        f"while [ ! -e {folder}/done ]; do sort -u {folder}/file | tr '\\n' ' '; wc -l <{folder}/file; done | sort -u"
    )
    act(host, *(WriteFile(f"{folder}/file", version) for version in versions))
    outside.run(f"touch {folder}/done")
    seen = reader.communicate(timeout=30)[0].splitlines()
    assert {len(line.split()) for line in seen} == {2}
    assert {line.split()[1] for line in seen} == {"20000"}


# ----------------------------------------------------------------------------------------- no room, no way


def test_a_full_disk_leaves_the_old_file_and_nothing_beside_it(host: Host, outside: Outside, small_disk: str) -> None:
    act(host, WriteFile(f"{small_disk}/file", "old\n"))
    error = failure(host, WriteFile(f"{small_disk}/file", "x" * 200_000))
    assert "No space left on device" in error.stderr_tail
    assert f"{small_disk}/file is as it was. Make room on its disk" in error.remedy
    assert listing(outside, small_disk) == ["644 root file"]
    assert outside.run(f"cat {small_disk}/file") == "old\n"


def test_a_command_that_finds_the_disk_full_ends_with_what_to_do(host: Host, small_disk: str) -> None:
    error = failure(host, Run(f"head -c 200000 /dev/zero > {small_disk}/file"))
    assert "No space left on device" in error.stderr_tail
    assert error.remedy.startswith("Make room on its disk")


def test_no_room_for_the_old_version_leaves_the_old_file(host: Host, outside: Outside, folder: str) -> None:
    kept = f"/var/lib/pic4ser/backup{folder}"
    outside.run(f"head -c 100000 /dev/zero > {folder}/file; mkdir -p {kept}; mount -t tmpfs -o size=16k tmpfs {kept}")
    try:
        assert "No space left on device" in failure(host, WriteFile(f"{folder}/file", "new\n")).stderr_tail
        assert "No space left on device" in failure(host, RemoveFile(f"{folder}/file")).stderr_tail
        assert outside.run(f"stat -c %s {folder}/file; ls -A {kept}") == "100000\n"
        assert listing(outside, folder) == ["644 root file"]
    finally:
        outside.run(f"umount {kept}")


def test_a_disk_that_cannot_be_written_is_a_sentence(host: Host, outside: Outside, small_disk: str) -> None:
    outside.run(f"mount -o remount,ro {small_disk}")
    assert "Read-only file system" in failure(host, WriteFile(f"{small_disk}/file", "x")).stderr_tail


def test_a_folder_in_the_files_place_is_a_sentence(host: Host, outside: Outside, folder: str) -> None:
    outside.run(f"mkdir {folder}/file; touch {folder}/plain")
    assert failure(host, WriteFile(f"{folder}/file", "x")).exit != 0
    assert failure(host, WriteFile(f"{folder}/plain/file", "x")).exit != 0
    assert listing(outside, folder) == ["644 root plain", "755 root file"]


@pytest.mark.parametrize("path", ["relative", "/etc/../etc/x", ""])
def test_a_path_that_is_not_absolute_is_a_mistake_of_ours(host: Host, path: str) -> None:
    with pytest.raises(ValueError, match="not an absolute path"):
        act(host, WriteFile(path, "x"))


# ----------------------------------------------------------------------------------------------- commands


def test_a_command_gets_its_standard_input_and_only_that(host: Host, outside: Outside, folder: str) -> None:
    act(host, Run(f"cat > {folder}/given", stdin='a\'\n"b" ü\n'), Run(f"cat > {folder}/nothing"))
    assert outside.run(f"cat {folder}/given; stat -c %s {folder}/nothing") == 'a\'\n"b" ü\n0\n'


def test_input_that_nobody_reads_does_no_harm(host: Host) -> None:
    act(host, Run("true", stdin="x" * 3_000_000))


def test_commands_leave_nothing_to_each_other(host: Host, outside: Outside, folder: str) -> None:
    act(
        host,
        Run("cd /tmp; x=1; set -e; exec >/dev/null"),
        Run(f"pwd > {folder}/out; echo ${{x-unset}} >> {folder}/out"),
    )
    assert outside.run(f"cat {folder}/out") == "/\nunset\n"


def test_a_command_has_no_terminal_to_ask_on(host: Host) -> None:
    assert "No such device" in failure(host, Run("read -r x </dev/tty")).stderr_tail


def test_a_failed_command_says_code_and_the_end_of_its_errors(host: Host) -> None:
    error = failure(host, Run("echo shown; echo first >&2; echo 'E: last' >&2; exit 100"))
    assert (error.exit, error.stderr_tail) == (100, "first\nE: last")
    assert str(error).startswith("bonnie: `echo shown; echo first")


def test_a_command_that_fails_without_errors_says_its_output(host: Host) -> None:
    assert failure(host, Run("echo 'it did not work'; false")).stderr_tail == "it did not work"


def test_a_session_goes_on_after_a_failure(host: Host) -> None:
    with host.session() as session:
        for command in ("exit 7", "if then", "kill -KILL $$"):
            with pytest.raises(CommandFailed):
                session.act(Run(command), reveal=no_secret)
        assert session.ask(["echo alive"]) == ["alive\n"]


def test_a_command_that_takes_too_long_is_ended_with_all_it_started(host: Host, outside: Outside) -> None:
    error = failure(host, Run("sleep 4322 & sleep 4322 | cat; wait", timeout=1))
    assert error.exit == 124
    assert "ended there after 1 s" in str(error)
    assert outside.run("pgrep -fx 'sleep 4322' || true") == ""


def test_a_command_may_leave_a_daemon_behind(host: Host, outside: Outside) -> None:
    act(host, Run("(trap '' TERM; exec -a pic4ser-tests-daemon sleep 30) >/dev/null 2>&1 & disown"))
    act(host, Run("(exec -a pic4ser-tests-loud sleep 30) &"))
    with host.session() as session:
        assert session.ask(["echo at once"]) == ["at once\n"]
    outside.run("pkill -KILL -f '^pic4ser-tests-(daemon|loud)'")


def test_much_output_is_no_hindrance(host: Host) -> None:
    act(host, Run("seq 1 400000; seq 1 400000 >&2"))


def test_actions_leave_nothing_under_run(host: Host, outside: Outside) -> None:
    act(host, Run("echo out; echo err >&2"))
    assert outside.run("find /run/pic4ser -type f -size +0 -not -name site.lock") == ""
    assert outside.run("stat -c '%a %U' /run/pic4ser") == "700 root\n"


def test_a_unit_is_restarted_with_its_newest_file(host: Host, outside: Outside) -> None:
    unit = "/run/systemd/system/pic4ser-tests.service"
    text = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'echo %s > /run/pic4ser-tests-said'\n"
    try:
        for word in ("one", "two"):
            outside.run(f"cat > {unit} <<'X'\n{text % word}X")
            act(host, Restart("pic4ser-tests.service"))
            assert outside.run("cat /run/pic4ser-tests-said") == f"{word}\n"
    finally:
        outside.run(f"systemctl stop pic4ser-tests; rm -f {unit} /run/pic4ser-tests-said; systemctl daemon-reload")


def test_a_unit_that_does_not_start_says_what_its_log_says(host: Host, outside: Outside) -> None:
    unit = "/run/systemd/system/pic4ser-broken.service"
    outside.run(
        f"printf '[Service]\\nType=oneshot\\nExecStart=/bin/sh -c \"echo bad key in line 7; exit 3\"\\n' > {unit}"
    )
    try:
        error = failure(host, Restart("pic4ser-broken"))
        assert error.command == "restart pic4ser-broken"
        assert "bad key in line 7" in error.stderr_tail
    finally:
        outside.run(f"systemctl reset-failed pic4ser-broken; rm -f {unit}; systemctl daemon-reload")


def test_an_action_for_the_cluster_is_not_for_a_node(host: Host) -> None:
    with pytest.raises(TypeError, match="not an action for a node: Apply"):
        act(host, Apply(()))


# ------------------------------------------------------------------------------------------------- secrets

SAMPLER = r"""
: > /run/pic4ser-tests-seen
while [ ! -e /run/pic4ser-tests-stop ]; do
  cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\0' '\n' >> /run/pic4ser-tests-seen
done
"""


def test_a_secret_is_seen_in_no_process_of_the_node(host: Host, outside: Outside, folder: str) -> None:
    sampler = outside.start(SAMPLER)
    outside.run("while [ ! -s /run/pic4ser-tests-seen ]; do sleep 0.05; done")
    with host.session() as session:
        for _ in range(3):
            run = Run(f"cat >> {folder}/got; sleep 0.4321", stdin=("token: ", TOKEN, "\n"))
            session.act(run, reveal=lambda secret: VALUE)
            session.act(WriteFile(f"{folder}/conf", ("t: ", TOKEN, "\n"), mode=0o600), reveal=lambda secret: VALUE)
    outside.run("touch /run/pic4ser-tests-stop")
    sampler.communicate(timeout=30)
    seen = outside.run("cat /run/pic4ser-tests-seen; rm /run/pic4ser-tests-seen /run/pic4ser-tests-stop")
    assert "0.4321" in seen  # it did look while the command ran
    encoded = base64.b64encode(f"token: {VALUE}\n".encode()).decode()
    assert [form for form in (VALUE, encoded, encoded[8:24]) if form in seen] == []
    assert outside.run(f"cat {folder}/got {folder}/conf") == f"token: {VALUE}\n" * 3 + f"t: {VALUE}\n"
    pattern = VALUE.replace(".", "[.]")  # sudo writes this very command to the log
    assert outside.run(f"grep -rl '{pattern}' /run /tmp /var/tmp /var/log 2>/dev/null || true") == ""


def test_a_secret_is_masked_in_errors(host: Host) -> None:
    with host.session() as session, pytest.raises(CommandFailed) as caught:
        session.act(Run("cat >&2; exit 1", stdin=(TOKEN, " is refused\n")), reveal=lambda secret: VALUE)
    assert caught.value.stderr_tail == "<join token> is refused"
    assert VALUE not in repr(caught.value)


def test_a_secret_is_made_only_when_it_is_needed(host: Host, folder: str) -> None:
    made: list[Secret] = []

    def reveal(secret: Secret) -> str:
        made.append(secret)
        return VALUE

    with host.session() as session:
        session.act(Run("true"), reveal=reveal)
        assert made == []
        session.act(Run("cat >/dev/null", stdin=(TOKEN,)), reveal=reveal)
    assert made == [TOKEN]


# --------------------------------------------------------------------------------------------- side by side


def test_actions_of_two_sessions_go_one_after_the_other(host: Host, outside: Outside, folder: str) -> None:
    command = Run(f"echo begin >> {folder}/log; sleep 0.3; echo end >> {folder}/log")
    threads = [threading.Thread(target=act, args=(host, command)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outside.run(f"cat {folder}/log") == "begin\nend\n" * 3


def test_nothing_of_ours_is_beside_the_files(outside: Outside) -> None:
    assert outside.run(f"find {MADE} -name '*pic4ser-new*' -o -name '*.bak' -o -name '*~'") == ""
