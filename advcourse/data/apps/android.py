"""What the pocket phone knows of Android: its hardware, the broadcasts that it sends, and the calls that a program can make.

Names and permissions are Android's own, of version 5.1 (API level 22): permissions are granted when an app is installed, and
receivers in a manifest get broadcasts. Calls that Android splits into several are one call here.
"""

from dataclasses import dataclass

NAMESPACE = "http://schemas.android.com/apk/res/android"
MAIN = "android.intent.action.MAIN"
LAUNCHER = "android.intent.category.LAUNCHER"
PERMISSION = "android.permission."

# What the phone has. All other hardware that an app requires makes it refuse the app.
HARDWARE = frozenset(
    "android.hardware." + name
    for name in "bluetooth camera camera.autofocus camera.flash location location.gps location.network microphone "
    "screen.portrait sensor.accelerometer sensor.barometer sensor.light sensor.stepcounter telephony touchscreen "
    "wifi".split()
)

# Event -> the broadcast that the phone sends then, and the permission that an app needs to get it ("" for none).
BROADCASTS = {
    "boot": ("android.intent.action.BOOT_COMPLETED", PERMISSION + "RECEIVE_BOOT_COMPLETED"),
    "sms": ("android.provider.Telephony.SMS_RECEIVED", PERMISSION + "RECEIVE_SMS"),
    "unlock": ("android.intent.action.USER_PRESENT", ""),
    "network": ("android.net.conn.CONNECTIVITY_CHANGE", ""),
}

# What starts another class of the app: call -> the handler of that class that runs.
STARTS = {"Context.startActivity": "create", "Context.startService": "start", "Thread.start": "run"}


@dataclass(frozen=True)
class Api:
    """A call of Android's that a program can make.

    Attributes:
        effect: what the log says; the argument follows.
        permission: that the app must hold, or the call throws a SecurityException; "" for none. Such a call is restricted.
        hardware: that the call uses; "" for none.
        private: the private data that it reads; "" for none.
        suspicious: whether DREBIN counts such a call in its set S7.
        harm: whether it harms the owner of the phone if it runs without a tap.
    """

    effect: str
    permission: str = ""
    hardware: str = ""
    private: str = ""
    suspicious: bool = False
    harm: bool = False


def _reads(data, permission, hardware="", suspicious=False):
    return Api(
        "reads", PERMISSION + permission, hardware and "android.hardware." + hardware, data, suspicious
    )


def _uses(effect, permission, hardware="", suspicious=False, harm=False):
    return Api(
        effect, PERMISSION + permission, hardware and "android.hardware." + hardware, "", suspicious, harm
    )


POST = "HttpURLConnection.post"  # sends what the handler has read so far

APIS = {
    # Screen, storage and sound: free to all.
    "TextView.setText": Api("shows"),
    "ImageView.setImage": Api("shows a picture of"),
    "ListView.setAdapter": Api("shows a list of"),
    "Canvas.draw": Api("draws"),
    "WebView.render": Api("shows the page"),
    "Notification.notify": Api("notifies:"),
    "AlarmManager.set": Api("sets an alarm for"),
    "MediaPlayer.start": Api("plays"),
    "SharedPreferences.put": Api("stores"),
    "SensorManager.read": Api("reads the sensor", hardware="android.hardware.sensor.accelerometer"),
    # Suspicious, though no permission guards them.
    "DexClassLoader.loadClass": Api("LOADS CODE from", suspicious=True, harm=True),
    "Runtime.exec": Api("runs the command", suspicious=True),
    "Cipher.doFinal": Api("decrypts", suspicious=True),
    "Base64.decode": Api("decodes", suspicious=True),
    "Method.invoke": Api("calls by name", suspicious=True),
    "System.loadLibrary": Api("loads the native library", suspicious=True),
    "PackageManager.getInstalledPackages": Api("lists the apps for", suspicious=True),
    "ClipboardManager.getText": Api("reads", private="clipboard", suspicious=True),
    # Network.
    "HttpURLConnection.get": _uses("fetches from", "INTERNET"),
    POST: _uses("sends", "INTERNET", suspicious=True),
    "ConnectivityManager.getActiveNetworkInfo": _uses("checks the network for", "ACCESS_NETWORK_STATE"),
    "WifiManager.getScanResults": _uses("looks for networks for", "ACCESS_WIFI_STATE", "wifi"),
    "WifiManager.setWifiEnabled": _uses("switches Wi-Fi", "CHANGE_WIFI_STATE", "wifi", suspicious=True),
    "BluetoothAdapter.startDiscovery": _uses("looks for", "BLUETOOTH_ADMIN", "bluetooth"),
    "NfcAdapter.dispatch": _uses("waits for the tag", "NFC", "nfc"),
    # Telephone.
    "SmsManager.sendTextMessage": _uses(
        "SENDS AN SMS to", "SEND_SMS", "telephony", suspicious=True, harm=True
    ),
    "TelephonyManager.call": _uses("calls", "CALL_PHONE", "telephony"),
    "TelephonyManager.getDeviceId": _reads("device id", "READ_PHONE_STATE", "telephony", suspicious=True),
    "TelephonyManager.getSubscriberId": _reads(
        "subscriber id", "READ_PHONE_STATE", "telephony", suspicious=True
    ),
    # Private data.
    "Contacts.query": _reads("contacts", "READ_CONTACTS"),
    "CallLog.query": _reads("call log", "READ_CALL_LOG"),
    "Sms.query": _reads("messages", "READ_SMS"),
    "Calendar.query": _reads("calendar", "READ_CALENDAR"),
    "AccountManager.getAccounts": _reads("accounts", "GET_ACCOUNTS"),
    "LocationManager.getLastKnownLocation": _reads("location", "ACCESS_FINE_LOCATION", "location.gps"),
    "Camera.takePicture": _reads("photograph", "CAMERA", "camera"),
    "AudioRecord.read": _reads("sound", "RECORD_AUDIO", "microphone"),
    # The phone itself.
    "WindowManager.addView": _uses("DRAWS OVER OTHER APPS:", "SYSTEM_ALERT_WINDOW", harm=True),
    "ActivityManager.getRunningTasks": _uses("sees what runs, for", "GET_TASKS"),
    "KeyguardManager.disableKeyguard": _uses("switches the lock off for", "DISABLE_KEYGUARD"),
    "MediaStore.insert": _uses("saves", "WRITE_EXTERNAL_STORAGE"),
    "WallpaperManager.setBitmap": _uses("sets the wallpaper", "SET_WALLPAPER"),
    "WakeLock.acquire": _uses("keeps the phone awake for", "WAKE_LOCK"),
    "Vibrator.vibrate": _uses("vibrates for", "VIBRATE"),
    "Torch.setMode": _uses("switches the light", "FLASHLIGHT", "camera.flash"),
    "FingerprintManager.authenticate": _uses("asks for a finger for", "USE_FINGERPRINT", "fingerprint"),
    "Settings.putInt": _uses("changes the setting", "WRITE_SETTINGS"),
}
RESTRICTED = {name: api.permission for name, api in APIS.items() if api.permission}
SUSPICIOUS = frozenset(name for name, api in APIS.items() if api.suspicious)
