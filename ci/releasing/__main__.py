"""ci/release --dry-run [FOLDER]          rehearse a release; what it made stays in FOLDER, new or empty, or in
                                       build/release, which is emptied
ci/release packages FOLDER             build the sdist and the wheel into FOLDER, twice, and check them
ci/release bill FOLDER FILE            write the CycloneDX bill of materials of the wheel in FOLDER
ci/release image FOLDER FILE           build the image with the wheel in FOLDER, prove it, and write an OCI archive
ci/release push NAME VERSION FOLDER    push the images of all architectures in FOLDER as one; prints its digest
ci/release check|notes|moving|owner    see ci/releasing/tag.py
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import image
import packages
import tag


def main(arguments: list[str]) -> None:
    match arguments:
        case ["--dry-run", *given] if len(given) < 2:
            folder = Path(given[0]) if given else packages.TOP / "build" / "release"
            if not given:
                shutil.rmtree(folder, ignore_errors=True)
            packages.require_empty(folder)
            import rehearsal  # noqa: PLC0415 - with the tools of the `release` extra, which the other commands do without

            sys.exit(rehearsal.run_all(folder))
        case ["packages", folder]:
            made = packages.build(Path(folder))
            packages.lint(made)
            print("\n".join(f"{packages.digest(path)}  {path.name}" for path in made))
        case ["bill", folder, bill]:
            import bill as bills  # noqa: PLC0415 - the same

            bills.write(packages.wheel(Path(folder)), Path(bill))
        case ["image", folder, archive]:
            with image.storage() as buildah:
                image.build(buildah, packages.wheel(Path(folder)), Path(archive))
        case ["push", name, version, folder]:
            with image.storage() as buildah:
                print(image.push(buildah, name, version, sorted(Path(folder).glob("*.tar"))))
        case ["check" | "notes" | "moving" | "owner", *_]:
            tag.main(arguments)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
