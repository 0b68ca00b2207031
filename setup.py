"""Put suites/ into the wheel, as harness/suites; all else is in pyproject.toml."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithSuites(build_py):
    """Copy the suites beside the modules; an editable install finds them where they are."""

    def run(self) -> None:
        """Build the package."""
        super().run()
        if not self.editable_mode:
            for path in sorted(Path("suites").glob("*.toml")):
                target = Path(self.build_lib, "harness", "suites", path.name)
                self.mkpath(str(target.parent))
                self.copy_file(str(path), str(target))


setup(cmdclass={"build_py": BuildWithSuites})
