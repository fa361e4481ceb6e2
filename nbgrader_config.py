"""nbgrader's settings: authors write in solutions/, students get exercises/."""

import os
import sys

c = get_config()  # noqa: F821 - given by nbgrader

c.CourseDirectory.course_id = "advcourse"
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "exercises"

# nbgrader starts `alembic`, which is beside the interpreter, and not found where the environment is not activated.
os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
