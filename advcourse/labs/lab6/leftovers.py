"""Apps with leftovers: what each rule of the lint must drop, beside what looks like it and must stay."""

from advcourse.data.apps import App, parse_manifest
from advcourse.data.apps.android import PERMISSION
from advcourse.labs.exercises import Draw
from advcourse.labs.lab6.apps import drawn

_MAIN = '<activity android:name=".MainActivity">'
_HARDWARE = {
    "nfc": 'android:required="false"',
    "touchscreen": "",
    "bluetooth": 'android:required="false"',
    "sensor.accelerometer": "",
}
_PERMISSIONS = (
    "SET_ALARM BODY_SENSORS BLUETOOTH_ADMIN RECEIVE_SMS RECEIVE_BOOT_COMPLETED EXPAND_STATUS_BAR".split()
)
_COMPONENTS = """<activity-alias android:name=".StartAlias" android:targetActivity=".MainActivity"/>
    <activity-alias android:name=".GoneAlias" android:targetActivity=".GoneActivity"/>
    <activity android:name=".OldActivity"/>
    <activity android:name=".GoneActivity"/>
    <service android:name="com.nobody.GoneService"/>
    <receiver android:name="{package}.LiveReceiver">
      <intent-filter>
        <action android:name="org.elsewhere.HELLO"/>
      </intent-filter>
      <intent-filter>
        <action android:name="android.intent.action.BOOT_COMPLETED"/>
      </intent-filter>
    </receiver>
    <provider android:name=".GoneProvider" android:authorities="org.example.gone" android:enabled="false"/>
    """
_FILTER = """<intent-filter>
        <action android:name="android.provider.Telephony.SMS_RECEIVED"/>
      </intent-filter>"""
_GONE = f"""<receiver android:name=".GoneReceiver" android:enabled="false">
      {_FILTER}
    </receiver>
    <service android:name=".IdleService"/>
    """
_IDLE = f"""<service android:name=".IdleService">
      {_FILTER}
    </service>
    """
_PROGRAM = """class .LiveReceiver
  on receive
    call Notification.notify started
    ifperm android.permission.BODY_SENSORS 1
    call SensorManager.read pulse
class .OldActivity
class .IdleService
class .NeverStarted
  on run
    call BluetoothAdapter.startDiscovery headset
"""


def _fits(app: App) -> bool:
    """Whether nothing of what is added is there already, or is needed by what is there."""
    parsed = parse_manifest(app.manifest)
    permissions = set(parsed.permissions) & {PERMISSION + name for name in _PERMISSIONS}
    hardware = {name for name, _ in parsed.hardware} & {f"android.hardware.{name}" for name in _HARDWARE}
    return not permissions and not hardware and "startDiscovery" not in app.program


def an_app_with_leftovers(draw: Draw, x: None = None, service: bool = False) -> dict[str, str]:
    """A fresh app, with leftovers in its manifest: a permission for a receiver without a class, or for a `service`."""
    app = drawn(draw, _fits)
    hardware = "".join(
        f'  <uses-feature android:name="android.hardware.{name}" {more}/>\n'
        for name, more in _HARDWARE.items()
    )
    wanted = "".join(f'  <uses-permission android:name="{PERMISSION}{name}"/>\n' for name in _PERMISSIONS)
    manifest = app.manifest.replace("  <application", hardware + wanted + "  <application", 1)
    more = _COMPONENTS.format(package=app.package) + (_IDLE if service else _GONE)
    manifest = manifest.replace(_MAIN, more + _MAIN, 1)
    return {"manifest": manifest, "program": app.program + _PROGRAM}
