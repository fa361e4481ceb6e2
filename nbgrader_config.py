"""nbgrader's settings: authors write in solutions/, students get exercises/."""

c = get_config()  # noqa: F821 - given by nbgrader

c.CourseDirectory.course_id = "advcourse"
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "exercises"
