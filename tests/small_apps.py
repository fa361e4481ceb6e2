"""Parts of small manifests, for tests that write apps by hand."""

LAUNCHER = (
    '<intent-filter><action android:name="android.intent.action.MAIN"/>'
    '<category android:name="android.intent.category.LAUNCHER"/></intent-filter>'
)
MAIN = f'<activity android:name=".Main">{LAUNCHER}</activity>'


def manifest(*declared, inside=MAIN):
    """A manifest with elements before the application, and components in it."""
    return (
        '<manifest xmlns:android="http://schemas.android.com/apk/res/android" package="org.example.x">'
        f"{''.join(declared)}<application>{inside}</application></manifest>"
    )


def permission(name):
    return f'<uses-permission android:name="android.permission.{name}"/>'


def receiver(name, action):
    action = f'<action android:name="{action}"/>'
    return f'<receiver android:name="{name}"><intent-filter>{action}</intent-filter></receiver>'


BOOT = "android.intent.action.BOOT_COMPLETED"
UNLOCK = "android.intent.action.USER_PRESENT"
