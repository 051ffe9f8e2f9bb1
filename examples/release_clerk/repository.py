"""The git repository that the release clerk works on: each change is one atomic step, whatever is killed within it.

A commit is made beside the working tree and then moved to by one compare-and-set of its branch, so that a kill leaves
nothing or all of it, and no lock file in anybody's way.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

VERSION = re.compile(r"^v(\d+)\.(\d+)\.(\d+)$")
COMMITS_MAX = 40
NO_COMMIT = "0" * 40
IDENTITY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Release Clerk"), ("EMAIL", "clerk@example.invalid"))
}


class GitFailed(Exception):
    """Git refused; the message is its own."""


class Repository:
    """A repository by its folder."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Name the folder."""
        self.folder = Path(folder)

    def git(self, *words: str, given: str | None = None, index: str = "") -> str:
        """Run git without anybody's own settings, or another repository's, and return what it printed.

        Raises:
            GitFailed: It ended with an error.
        """
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        environment = {**kept, **IDENTITY, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        if index:
            environment["GIT_INDEX_FILE"] = index
        command = ["git", "-C", str(self.folder), *words]
        done = subprocess.run(command, input=given, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise GitFailed(done.stderr.strip() or f"git {words[0]} ended with {done.returncode}")
        return done.stdout.strip()

    def commit_of(self, ref: str) -> str:
        """Return the commit that a ref names, or an empty string."""
        try:
            return self.git("rev-parse", "--quiet", "--verify", f"{ref}^{{commit}}")
        except GitFailed:
            return ""

    def last_version(self) -> str:
        """Return the highest version that is tagged, or an empty string."""
        tags = [tag for tag in self.git("tag", "--list").split() if VERSION.match(tag)]
        return max(tags, key=lambda tag: [int(part) for part in tag[1:].split(".")], default="")

    def history(self) -> dict[str, Any]:
        """Return the last version, the commit that is to be released, and the subjects since, newest first."""
        last = self.last_version()
        since = [f"{last}..HEAD"] if last else []
        lines = self.git("log", "--no-merges", f"--max-count={COMMITS_MAX}", "--format=%h%x09%s", *since).splitlines()
        commits = [dict(zip(("commit", "subject"), line.split("\t", 1), strict=True)) for line in lines]
        return {"last": last, "head": self.commit_of("HEAD"), "commits": commits}

    def create_branch(self, name: str, start: str, creator: str) -> None:
        """Create a branch; its first reflog line, written with it, says who made it.

        Raises:
            GitFailed: There is a branch of that name.
        """
        self.git("update-ref", "--create-reflog", "-m", creator, f"refs/heads/{name}", start, NO_COMMIT)

    def creator(self, name: str) -> str:
        """Return who made a branch, or an empty string where nobody knows or there is none."""
        if not self.commit_of(f"refs/heads/{name}"):
            return ""
        lines = self.git("reflog", "show", "--format=%gs", f"refs/heads/{name}").splitlines()
        return lines[-1] if lines else ""

    def delete_branch(self, name: str) -> None:
        """Delete a branch."""
        self.git("update-ref", "-d", f"refs/heads/{name}")

    def commit_file(self, branch: str, path: str, content: str, subject: str) -> str:
        """Add a file on a branch by one commit, and return the commit."""
        parent = self.commit_of(f"refs/heads/{branch}")
        if not parent:
            raise GitFailed(f"there is no branch {branch}")
        with tempfile.TemporaryDirectory() as folder:
            index = str(Path(folder, "index"))
            blob = self.git("hash-object", "-w", "--stdin", given=content)
            self.git("read-tree", parent, index=index)
            self.git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", index=index)
            tree = self.git("write-tree", index=index)
        commit = self.git("commit-tree", tree, "-p", parent, "-m", subject)
        self.git("update-ref", "-m", subject, f"refs/heads/{branch}", commit, parent)
        return commit

    def commit_with(self, branch: str, path: str, content: str) -> str:
        """Return the newest commit of a branch that gave a file this content, or an empty string."""
        ref = f"refs/heads/{branch}"
        commit = self.git("log", "--max-count=1", "--format=%H", ref, "--", path) if self.commit_of(ref) else ""
        return commit if commit and self.git("show", f"{commit}:{path}") == content.strip() else ""

    def tag(self, version: str, commit: str, message: str) -> None:
        """Tag a commit.

        Raises:
            GitFailed: There is a tag of that name.
        """
        self.git("tag", "--annotate", "--message", message, version, commit)


def clone(source: Path, folder: Path) -> str:
    """Make the repository to work on: a clone of `source`, or a sample where that cannot be cloned; say which."""
    try:
        Repository(source.parent).git("clone", "--quiet", "--no-tags", str(source), str(folder))
        Repository(folder).git("remote", "remove", "origin")
        is_empty = not Repository(folder).commit_of("HEAD")
    except (GitFailed, OSError):
        is_empty = True
    if not is_empty:
        return "a clone of this repository"
    sample(folder)
    return "a sample repository"


def sample(folder: Path) -> None:
    """Build a small repository with a history of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    repository = Repository(folder)
    repository.git("init", "--quiet", "--initial-branch=main")
    for number, subject in enumerate(
        ("Add the parser", "Fix an endless loop on empty input", "Add a second output format", "Explain how to install")
    ):
        Path(folder, f"part{number}.txt").write_text(subject + "\n", encoding="utf-8")
        repository.git("add", "--all")
        repository.git("commit", "--quiet", "--message", subject)
